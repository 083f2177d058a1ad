"""Runs in bench-env: datatrove's four filters on documents of a file; verdicts, words and seconds into another.

`python peer_rules.py documents.json answers.json`: documents is a list of [text, lang]; answers holds for each family
the reasons (null keeps), and the seconds that all four together took, and with `--words` the words of each document.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import split_into_words

LANGUAGES = {
    "cs": "ces", "de": "deu", "en": "eng", "es": "spa", "fr": "fra", "hu": "hun", "ja": "jpn", "no": "nob",
    "ru": "rus", "sv": "swe", "zh": "cmn", "th": "tha", "ko": "kor", "ar": "arb_Arab", "hi": "hin_Deva", "tr": "tur",
    "vi": "vie",
}  # fmt: skip


def main() -> None:
    """Answer and write."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    lang, limits = request["lang"], request["limits"]
    code = LANGUAGES[lang]
    filters = {
        "gopher": GopherQualityFilter(language=code, **limits["gopher"]),
        "repetition": GopherRepetitionFilter(language=code, **limits["repetition"]),
        "c4": C4QualityFilter(language=code, **limits["c4"]),
        "fineweb": FineWebQualityFilter(language=code, **limits["fineweb"]),
    }
    try:
        split_into_words("warm up", code)
    except (ImportError, OSError) as error:
        Path(sys.argv[2]).write_text(json.dumps({"missing": " ".join(str(error).split())}), encoding="utf-8")
        return
    answer: dict[str, object] = {"reasons": {name: [] for name in filters}}
    started, cpu = time.perf_counter(), time.process_time()
    for text in request["texts"]:
        for name, one in filters.items():
            verdict = one.filter(Document(text=text, id=""))
            kept = verdict is True
            answer["reasons"][name].append(None if kept else verdict[1])
    answer["seconds"] = time.perf_counter() - started
    answer["cpu"] = time.process_time() - cpu
    if request.get("words"):
        answer["words"] = [split_into_words(text, code) for text in request["texts"]]
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
