"""Runs in bench-env: presidio or datatrove on documents of a file; spans and CPU seconds into another.

`python peer_pii.py presidio|datatrove texts.json answers.json`. presidio's recognizers of patterns for the kinds that
are compared, with a blank spaCy pipeline instead of a model of names (which would only make it slower), all scores
taken. datatrove's formatter replaces; its patterns, taken from the formatter, say where.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Spans = list[tuple[int, int, str]]

KINDS = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "CREDIT_CARD": "card",
    "PHONE_NUMBER": "phone",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
}


def main() -> None:
    """Answer and write."""
    name, asked, answered = sys.argv[1:]
    request = json.loads(Path(asked).read_text(encoding="utf-8"))
    find, work = {"presidio": presidio, "datatrove": datatrove}[name]()
    work("Write to kim@mail.com or 81.2.69.142.")
    started = time.process_time()
    for text in request["timed"]:
        work(text)
    seconds = time.process_time() - started
    spans = [find(text) for text in request["labelled"]]
    Path(answered).write_text(json.dumps({"cpu": seconds, "spans": spans}), encoding="utf-8")


def presidio() -> tuple[Callable[[str], Spans], Callable[[str], object]]:
    """The analyzer, with what it needs of spaCy and nothing to download."""
    import spacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

    offline = tldextract.TLDExtract(suffix_list_urls=())
    tldextract.extract = offline
    blank = spacy.blank("en")

    class Blank(NlpEngine):
        """Tokens without names."""

        def load(self) -> None: ...

        def is_loaded(self) -> bool:
            return True

        def process_text(self, text: str, language: str) -> NlpArtifacts:
            doc = blank(text)
            words = [token.text for token in doc]
            return NlpArtifacts([], doc, [token.idx for token in doc], words, self, language, scores=[])

        def process_batch(self, texts: list[str], language: str, **_: object) -> Iterator[tuple[str, NlpArtifacts]]:
            return ((text, self.process_text(text, language)) for text in texts)

        def is_stopword(self, word: str, language: str) -> bool:
            return False

        def is_punct(self, word: str, language: str) -> bool:
            return False

        def get_supported_entities(self) -> list[str]:
            return []

        def get_supported_languages(self) -> list[str]:
            return ["en"]

    engine = AnalyzerEngine(nlp_engine=Blank(), supported_languages=["en"])

    def find(text: str) -> Spans:
        found = engine.analyze(text, language="en", entities=list(KINDS))
        return [(one.start, one.end, KINDS[one.entity_type]) for one in found]

    return find, find


def datatrove() -> tuple[Callable[[str], Spans], Callable[[str], object]]:
    """The formatter that FineWeb used: e-mail and public IPv4."""
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()
    replacers = [(kind, getattr(formatter, f"{name}_replacer")) for kind, name in (("email", "emails"), ("ip", "ip"))]

    def find(text: str) -> Spans:
        return [
            (*match.span(), kind)
            for kind, replacer in replacers
            for match in replacer.regex.finditer(text)
            if replacer.validator is None or replacer.validator(match.group(0))
        ]

    return find, formatter.format


if __name__ == "__main__":
    main()
