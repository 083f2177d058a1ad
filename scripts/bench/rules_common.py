"""What `rules.py` and `parity.py` share: real documents, equal limits on both sides, and datatrove as a subprocess."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.core.text import stop_words
from pipeline.core.verdict import Verdict
from pipeline.filters.c4 import C4
from pipeline.filters.fineweb import Fineweb
from pipeline.filters.gopher import Gopher
from pipeline.filters.limits import Limits
from pipeline.filters.repetition import Repetition

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / "bench-env" / "bin" / "python"
FAMILIES: dict[str, Limits] = {
    "gopher": Gopher(count_marks=True),
    "repetition": Repetition(),
    "c4": C4(),
    "fineweb": Fineweb(),
}


def data() -> Path:
    """The folder of real documents."""
    folder = os.environ.get("GRISTMILL_DATA")
    if not folder:
        raise SystemExit("set GRISTMILL_DATA to the folder that holds prose/ and warc/")
    return Path(folder)


def prose(lang: str, most: int | None = None) -> list[str]:
    """Documents of a language, evenly over the file."""
    with gzip.open(data() / "prose" / f"{lang}.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    return texts if most is None else texts[:: max(1, len(texts) // most)][:most]


def sentences(lang: str) -> list[str]:
    """Documents of six sentences each, one a line."""
    with gzip.open(data() / "lid" / "sentences_75lang.jsonl.gz", "rt", encoding="utf-8") as lines:
        said = [row["text"] for row in map(json.loads, lines) if row["lang"] == lang]
    return ["\n".join(said[at : at + 6]) for at in range(0, len(said), 6)]


def pages() -> list[str]:
    """Main text of web pages, of 200 characters and more: those in the WARC files, and those of WCXB."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import detect_encoding

    found: dict[str, None] = {}
    for path in sorted((data() / "wcxb" / "html").glob("*.gz")):
        found[extract_plain_text(gzip.decompress(path.read_bytes()).decode("utf-8", "replace"), main_content=True)] = (
            None
        )
    for path in sorted((data() / "warc").rglob("*.warc*")):
        with path.open("rb") as stream, contextlib.suppress(OSError):  # some are there because they are broken
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
                if "html" not in (record.http_content_type or ""):
                    continue
                body = record.reader.read()
                found[extract_plain_text(body.decode(detect_encoding(body), "replace"), main_content=True)] = None
    return [text for text in found if len(text) >= 200]


def batch(texts: list[str], lang: str) -> pa.RecordBatch:
    """The documents as the engine hands them to a stage."""
    return pa.record_batch({"text": pa.array(texts, pa.large_string()), "lang": pa.array([lang] * len(texts))})


def reasons(verdict: Verdict) -> list[str | None]:
    """Reasons of a verdict; null keeps."""
    assert verdict.reason is not None
    return verdict.reason.to_pylist()


def peer_limits(lang: str) -> dict[str, dict[str, Any]]:
    """Our limits for a language in datatrove's words; a rule that is off there is off here."""
    gopher, repetition, fineweb = (FAMILIES[name].limits(lang) for name in ("gopher", "repetition", "fineweb"))
    return {
        "gopher": {
            "min_doc_words": gopher["min_words"],
            "max_doc_words": gopher["max_words"],
            "min_avg_word_length": gopher["min_mean_word"],
            "max_avg_word_length": gopher["max_mean_word"],
            "max_symbol_word_ratio": gopher["max_hash_signs"],
            "max_bullet_lines_ratio": gopher["max_bullet_lines"],
            "max_ellipsis_lines_ratio": gopher["max_ellipsis_lines"],
            "max_non_alpha_words_ratio": gopher["min_alphabetic_words"],
            "min_stop_words": gopher["min_stop_words"],
            "stop_words": sorted(stop_words(lang)),
        },
        "repetition": {
            "dup_line_frac": repetition["max_repeated_lines"],
            "dup_para_frac": repetition["max_repeated_paragraphs"],
            "dup_line_char_frac": repetition["max_repeated_line_characters"],
            "dup_para_char_frac": repetition["max_repeated_paragraph_characters"],
            "top_n_grams": [[n, repetition[f"max_top_{n}_gram"]] for n in (2, 3, 4)],
            "dup_n_grams": [[n, repetition[f"max_repeated_{n}_grams"]] for n in (5, 6, 7, 8, 9, 10)],
        },
        "c4": {"min_num_sentences": 5},
        "fineweb": {
            "line_punct_thr": fineweb["min_sentence_ends"],
            "short_line_thr": 999 if fineweb["max_short_lines"] is None else fineweb["max_short_lines"],
            "char_duplicates_ratio": fineweb["max_repeated_characters"],
            "new_line_ratio": fineweb["max_line_breaks"],
        },
    }


def ask_peer(texts: list[str], lang: str, *, words: bool = False) -> dict[str, Any]:
    """Reasons by family, seconds, and the words if asked for, from datatrove in its own process."""
    if not PEER.exists():
        raise SystemExit("no bench-env: run scripts/bench/setup.sh")
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.json", Path(folder) / "answered.json"
        request = {"texts": texts, "lang": lang, "limits": peer_limits(lang), "words": words}
        asked.write_text(json.dumps(request), encoding="utf-8")
        script = Path(__file__).with_name("peer_rules.py")
        done = subprocess.run([PEER, script, asked, answered], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"datatrove failed:\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    return answer
