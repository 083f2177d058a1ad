"""Benchmark questions planted into real prose in four ways: how many `contamination` finds, and what it finds wrongly.

1,000 questions of ARC, BoolQ, GSM8K, HumanEval and OpenBookQA (English), and of AGIEval (Chinese), at a paragraph
break of a document of prose in that language, one a document: word by word; with other case and marks; with one word in
twelve replaced; in a template. The index holds all questions of all files. False positives: documents of prose without
a planted question that are named, and documents in which the words of a question stand in another order. With --json,
the last line is one JSON object: `ratios` (recall by language and variant), and the figures behind them.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from typing import Any

import pyarrow as pa
from rules_common import data, prose

from pipeline.backends.benchmarks import Item, items, presets
from pipeline.filters.contamination import Contamination
from pipeline.filters.contamination_trials import VARIANTS, in_another_order
from pipeline.filters.questions import Evidence, Index

FILES = {
    "en": {
        "arc_challenge": "arc",
        "arc_easy": "arc",
        "boolq": "boolq",
        "gsm8k_test": "gsm8k",
        "HumanEval": "humaneval",
        "openbook_qa": "openbookqa",
    },
    "zh": {
        "agieval_gaokao-biology": "agieval",
        "agieval_gaokao-chinese": "agieval",
        "agieval_gaokao-history": "agieval",
        "agieval_logiqa-zh": "agieval",
    },
}


def main() -> None:
    """Plant, look and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--gram", type=int, default=Contamination.model_fields["gram"].default)
    parser.add_argument("--run", type=int, default=Contamination.model_fields["run"].default)
    parser.add_argument("--share", type=float, default=Contamination.model_fields["share"].default)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    listed = {lang: _questions(files) for lang, files in FILES.items()}
    stage = Contamination(written=("-",), gram=options.gram, run=options.run, share=options.share)
    evidence = Evidence(stage.gram, stage.run, stage.share, stage.least, stage.max_questions)
    index = Index([[item for _, item in listed[lang]] for lang in listed], evidence)
    figures: dict[str, Any] = {}
    ratios: dict[str, float] = {}
    langs = list(listed)
    for number, lang in enumerate(langs):
        texts = prose(lang)
        met, seconds = _named(index, texts)
        draw = random.Random(lang)
        chosen = sorted(draw.sample(range(len(listed[lang])), min(options.questions, len(listed[lang]))))
        questions = [listed[lang][item][1].question for item in chosen]
        clean = [text for row, text in enumerate(texts) if row not in {match[0] for match in met}]
        seen = {part.item for part in index.parts if part.benchmark == number and part.kind == "question" and part.seen}
        shuffled, _ = _named(index, _planted(questions, clean, draw, in_another_order))
        figures[lang] = {
            "questions": len(chosen),
            "long enough": sum(item in seen for item in chosen),
            "documents of prose": len(texts),
            "megabytes": round(sum(len(text.encode()) for text in texts) / 1e6, 1),
            "megabytes per second of CPU": round(sum(len(text.encode()) for text in texts) / 1e6 / seconds, 1),
            "prose named": sorted(
                {f"{row}: {listed[langs[b]][item][0]} {listed[langs[b]][item][1].id}" for row, b, item in met}
            ),
            "words in another order, named": len({row for row, _, _ in shuffled}),
            "variants": {},
        }
        for variant, change in VARIANTS.items():
            found, _ = _named(index, _planted(questions, clean, random.Random(f"{lang}/{variant}"), change))
            right = {row for row, benchmark, item in found if benchmark == number and item == chosen[row]}
            wrong = {row for row, _, _ in found} - right
            visible = [row for row, item in enumerate(chosen) if item in seen]
            figures[lang]["variants"][variant] = {
                "found": len(right),
                "recall": round(len(right) / len(chosen), 4),
                "recall of those long enough": round(len(right.intersection(visible)) / len(visible), 4),
                "documents named for another question only": len(wrong),
            }
            ratios[f"{lang} {variant}"] = round(len(right) / len(chosen), 4)
        print(f"{lang}: {json.dumps(figures[lang], ensure_ascii=False, indent=1)}")
    if options.json:
        print(json.dumps({"ratios": ratios, "figures": figures}, ensure_ascii=False))


def _questions(files: dict[str, str]) -> list[tuple[str, Item]]:
    folder = data() / "evalsets"
    return [
        (name, item) for name, preset in files.items() for item in items(folder / f"{name}.jsonl.gz", presets()[preset])
    ]


def _planted(questions: list[str], documents: list[str], draw: random.Random, change: Any) -> list[str]:
    """Each question in a document, at a paragraph break."""
    texts = []
    for number, question in enumerate(questions):
        document = documents[number % len(documents)]
        breaks = [at for at, character in enumerate(document) if character == "\n"] or [len(document)]
        at = draw.choice(breaks)
        texts.append(f"{document[:at]}\n{change(question, draw)}\n{document[at:]}")
    return texts


def _named(index: Index, texts: list[str]) -> tuple[list[tuple[int, int, int]], float]:
    """Which questions stand in which text, and the CPU seconds."""
    started = time.process_time()
    found = []
    for start in range(0, len(texts), 256):
        met = index.look(pa.array(texts[start : start + 256], pa.large_string()))
        for match in index.matches(met, index.hashes[:0]):
            part = index.parts[match.part]
            found.append((start + match.row, part.benchmark, part.item))
    return found, time.process_time() - started


if __name__ == "__main__":
    main()
