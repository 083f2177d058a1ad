"""Copy funnel and languages of build/quickstart/README.md into both READMEs; with --check, only compare them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CARD = ROOT / "build" / "quickstart" / "README.md"
START, END = "<!-- scripts/readme.py copies these tables from build/quickstart/README.md -->", "<!-- end -->"
LANGUAGES = 12
WORDS = ROOT / "pipeline" / "report" / "words_zh.json"


def main() -> None:
    """Rewrite the part between the marks, or exit 1 where it is not what the card says."""
    card = CARD.read_text(encoding="utf-8").splitlines()
    tables = table(card, "| Stage | Read"), table(card, "| Language |")[: LANGUAGES + 2]
    chinese = json.loads(WORDS.read_text(encoding="utf-8"))
    for name, words in (("README.md", {}), ("README.zh-CN.md", chinese)):
        readme = ROOT / name
        text = readme.read_text(encoding="utf-8")
        fresh = quoted(text, ["\n".join([heading(head, words), *rows]) for head, *rows in tables])
        if "--check" not in sys.argv:
            readme.write_text(fresh, encoding="utf-8")
        elif fresh != text:
            sys.exit(f"{readme} does not quote {CARD} as it is: run python scripts/readme.py")


def quoted(text: str, tables: list[str]) -> str:
    """The text with these tables between its marks."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n" + "\n\n".join(tables) + f"\n\n{END}{after}"


def heading(line: str, words: dict[str, str]) -> str:
    """The first line of a table, in other words where there are some."""
    return "| " + " | ".join(words.get(cell.strip(), cell.strip()) for cell in line.strip("| ").split("|")) + " |"


def table(lines: list[str], head: str) -> list[str]:
    """The lines of the Markdown table that begins so."""
    start = next(number for number, line in enumerate(lines) if line.startswith(head))
    end = next(number for number in range(start, len(lines) + 1) if number == len(lines) or not lines[number])
    return lines[start:end]


if __name__ == "__main__":
    main()
