"""The datasheet: every number from the manifest, with how it was measured; people's words only from `answers.yaml`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import ConfigDict, Field, ValidationError

from pipeline.core.document import read_yaml
from pipeline.core.errors import Problem, RecipeError
from pipeline.core.manifest import FileDigest, Group, Input, LongDocument, Manifest, Record, Size, TokenGroup, Warned
from pipeline.report import facts
from pipeline.report.funnel import FunnelRow, funnel
from pipeline.report.grid import Grid

Answer = str | list[str] | None


class Answers(Record):
    """What only people know: to each question a text or a list of texts. `None` is a question without an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str | None = Field(default=None, description="What is the corpus called?")
    motivation: Answer = Field(default=None, description="Why was it made, by whom, and who paid?")
    intended_uses: Answer = Field(default=None, description="What is it meant for?")
    out_of_scope_uses: Answer = Field(default=None, description="What should it not be used for?")
    collection: Answer = Field(default=None, description="How, when and where was it collected, and with what consent?")
    sensitive_content: Answer = Field(default=None, description="Which personal, offensive or secret content is in it?")
    limitations: Answer = Field(default=None, description="Which biases and errors are known?")
    license_note: Answer = Field(default=None, description="Who checked the licences, and what do they ask of users?")
    maintenance: Answer = Field(default=None, description="Who maintains it, and how are documents taken down?")
    contact: Answer = Field(default=None, description="Whom to write to?")
    citation: Answer = Field(default=None, description="How should it be cited?")

    def text(self, question: str) -> str | None:
        """The answer as one text, a list as `- ` lines; None where there is none or it is blank."""
        said = getattr(self, question)
        lines = [f"- {line.strip()}" for line in said if line.strip()] if isinstance(said, list) else [said or ""]
        return "\n".join(lines).strip() or None

    @property
    def unanswered(self) -> tuple[str, ...]:
        """The questions without an answer."""
        return tuple(question for question in type(self).model_fields if self.text(question) is None)


class Portion(Record):
    """The documents of one language, source or licence; `name` is null where they state none."""

    name: str | None
    size: Size
    share_of_documents: float
    share_of_characters: float


class Composition(Record):
    """What the kept documents are."""

    how: str = (
        "counted by the workers on the text that they wrote, and added up over all shards; "
        "characters are Unicode code points, bytes are UTF-8"
    )
    total: Size
    by_language: tuple[Portion, ...]
    by_source: tuple[Portion, ...]
    by_license: tuple[Portion, ...]


class Split(Record):
    """The packed rows of one split: what is not a token in them is padding, a cut document lies in several rows."""

    name: str
    files: int
    rows: int
    bytes: int
    tokens: int = 0
    share_of_padding: float = 0.0
    share_of_documents_cut: float = 0.0


class TokenPortion(Record):
    """The tokens of one language or source, over all splits; bytes are those of the text before."""

    name: str | None
    documents: int
    tokens: int
    bytes: int
    share_of_tokens: float

    @property
    def bytes_per_token(self) -> float:
        """How much text a token stands for: the fewer bytes, the dearer this language is to the tokenizer."""
        return self.bytes / self.tokens if self.tokens else 0.0


class Tokens(Record):
    """What was packed for training."""

    how: str = (
        "rows and bytes are those of the files written; the other counts are the packing stage's own, the token that "
        "ends a document included and padding not"
    )
    splits: tuple[Split, ...]
    by_language: tuple[TokenPortion, ...] = ()
    by_source: tuple[TokenPortion, ...] = ()
    longest: tuple[LongDocument, ...] = ()
    vocabulary: int | None = None
    vocabulary_used: int | None = None
    counts: dict[str, int]
    tokenizer: FileDigest | None


class Expectation(Record):
    """The share of documents that the recipe expects a stage to drop, and the share that it dropped."""

    stage: str
    low: float
    high: float
    found: float | None

    @property
    def met(self) -> bool:
        """Whether the share found lies inside the bounds."""
        return self.found is not None and self.low <= self.found <= self.high


class PublishedShare(Record):
    """A removal rate that others published for a stage like ours, and where."""

    share: float
    source: str


class ComparedBuild(Record):
    """A finished build that a stage compared with, and how many documents it dropped for a twin there or before."""

    stage: str
    name: str
    key: str
    dropped: int


class SweepKey(Record):
    """A sweep and the key that its inputs and stages hash to."""

    name: str
    key: str
    shards: int


class Reproducibility(Record):
    """What identifies this build: two builds of the same key have the same digest, whatever the machine."""

    how: str = (
        "the key is the hash of recipe, inputs and assets; the digest is the sha256 of the manifest without times"
    )
    key: str
    digest: str
    gristmill: str
    versions: dict[str, str]
    sweeps: tuple[SweepKey, ...]
    inputs: tuple[Input, ...]


class Datasheet(Record):
    """A corpus described from its manifest and its authors' answers. No clock: the same input gives the same sheet."""

    name: str
    version: str
    description: str
    license: str | None
    composition: Composition
    funnel: tuple[FunnelRow, ...]
    recipe: str
    tokens: Tokens | None
    expectations: tuple[Expectation, ...]
    published: dict[str, PublishedShare]
    found: dict[str, Grid]
    decided: dict[str, tuple[Grid, ...]]
    trials: dict[str, Grid]
    warnings: tuple[Warned, ...]
    compared: tuple[ComparedBuild, ...]
    limits: tuple[str, ...]
    reproducibility: Reproducibility
    files: tuple[FileDigest, ...]
    answers: Answers
    unanswered: tuple[str, ...]


def datasheet(manifest: Manifest, answers: Answers | None = None) -> Datasheet:
    """The datasheet of a corpus; StoreError where the books of the manifest do not close."""
    answers = answers or Answers()
    rows = funnel(manifest)
    recipe = manifest.recipe
    composition = _composition(manifest.composition)
    card = recipe.get("card") or {}
    tokenizer = (manifest.tokenizer,) if manifest.tokenizer else ()
    return Datasheet(
        name=str(recipe.get("recipe", "corpus")),
        version=str(recipe.get("version", "unversioned")),
        description=str(recipe.get("description", "")),
        license=card.get("license"),
        composition=composition,
        funnel=rows,
        recipe=recipe_yaml(recipe),
        tokens=_tokens(manifest),
        expectations=_expectations(recipe.get("expect") or {}, rows),
        published={stage: PublishedShare(**said) for stage, said in (recipe.get("published") or {}).items()},
        found={c.stage: facts.found(c) for sweep in manifest.sweeps for c in sweep.stages if c.found},
        decided={stage: facts.decided(told) for stage, told in manifest.decided.items()},
        trials={stage: facts.trials(held) for stage, held in manifest.trials.items()},
        warnings=manifest.warnings,
        compared=_compared(manifest, rows),
        limits=_limits(recipe, composition),
        reproducibility=Reproducibility(
            key=manifest.key,
            digest=manifest.digest,
            gristmill=manifest.gristmill,
            versions=_versions(manifest.execution),
            sweeps=tuple(SweepKey(name=s.name, key=s.key, shards=s.shards) for s in manifest.sweeps),
            inputs=manifest.inputs,
        ),
        files=(*manifest.documents, *manifest.tokens, *tokenizer),
        answers=answers,
        unanswered=answers.unanswered,
    )


def _compared(manifest: Manifest, rows: tuple[FunnelRow, ...]) -> tuple[ComparedBuild, ...]:
    dropped = {row.stage: dict(row.reasons).get("built_before", 0) for row in rows}
    return tuple(
        ComparedBuild(stage=index.stage, name=older.name, key=older.key, dropped=dropped.get(index.stage, 0))
        for index in manifest.indexes
        for older in index.older
    )


def read_answers(path: Path | None) -> Answers:
    """The answers in a YAML file; no path, no answers. RecipeError lists all that is wrong with the file."""
    if path is None:
        return Answers()
    if not path.exists():
        raise RecipeError([Problem("card.answers", f"there is no file {path}")], str(path))
    given = read_yaml(path).value or {}
    if not isinstance(given, dict):
        raise RecipeError([Problem("", "should be a map of questions to answers, as in `title: My corpus`")], str(path))
    try:
        return Answers.model_validate(given)
    except ValidationError as error:
        keys = dict.fromkeys(str(mistake["loc"][0]) for mistake in error.errors() if mistake["loc"])
        strange = [key for key in given if not isinstance(key, str)]
        wrong = [*keys, *(str(key) for key in strange)]
        by_text = {str(key): value for key, value in given.items()}
        raise RecipeError([_problem(key, by_text[key]) for key in dict.fromkeys(wrong)], str(path)) from None


def recipe_yaml(recipe: dict[str, Any]) -> str:
    """The recipe as YAML, its name first and its limits last."""
    first = (
        "recipe",
        "version",
        "description",
        "sources",
        "stages",
        "tokenizer",
        "pack",
        "card",
        "expect",
        "published",
    )
    order = [key for key in first if key in recipe] + [key for key in recipe if key not in first]
    return yaml.safe_dump({key: recipe[key] for key in order}, sort_keys=False, allow_unicode=True, width=100)


def _problem(key: str, value: object) -> Problem:
    if key in Answers.model_fields:
        texts = "a text" if key == "title" else "a text or a list of texts"
        return Problem(key, f"should be {texts}, not {type(value).__name__}; put it in quotes")
    near = get_close_matches(key, Answers.model_fields, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the questions are {', '.join(Answers.model_fields)}"
    return Problem(key, f"there is no such question; {hint}")


def _composition(groups: tuple[Group, ...]) -> Composition:
    total = sum((group.size for group in groups), Size())
    return Composition(
        total=total,
        by_language=_portions(groups, total, lambda group: group.lang),
        by_source=_portions(groups, total, lambda group: group.source),
        by_license=_portions(groups, total, lambda group: group.license),
    )


def _portions(groups: tuple[Group, ...], total: Size, name: Callable[[Group], str | None]) -> tuple[Portion, ...]:
    sizes: dict[str | None, Size] = {}
    for group in groups:
        sizes[name(group)] = sizes.get(name(group), Size()) + group.size
    ordered = sorted(sizes.items(), key=lambda item: (-item[1].documents, item[0] or ""))
    return tuple(
        Portion(
            name=key,
            size=size,
            share_of_documents=size.documents / total.documents if total.documents else 0.0,
            share_of_characters=size.characters / total.characters if total.characters else 0.0,
        )
        for key, size in ordered
    )


def _versions(execution: dict[str, Any]) -> dict[str, str]:
    packages = execution.get("packages") or {}
    python = {"python": str(execution["python"])} if "python" in execution else {}
    return python | {name: str(packages[name]) for name in sorted(packages)}


def _tokens(manifest: Manifest) -> Tokens | None:
    if not manifest.tokens:
        return None
    splits: dict[str, Split] = {}
    for file in manifest.tokens:
        name = PurePosixPath(file.path).parent.name
        had = splits.get(name, Split(name=name, files=0, rows=0, bytes=0))
        splits[name] = Split(name=name, files=had.files + 1, rows=had.rows + file.rows, bytes=had.bytes + file.bytes)
    ordered = sorted(splits.values(), key=lambda split: (split.name != "train", split.name))
    counts = manifest.facts
    return Tokens(
        splits=tuple(_with_shares(split, counts) for split in ordered),
        by_language=_token_portions(manifest.token_groups, lambda group: group.lang),
        by_source=_token_portions(manifest.token_groups, lambda group: group.source),
        longest=manifest.longest,
        vocabulary=counts.get("vocabulary"),
        vocabulary_used=counts.get("vocabulary_used"),
        counts={name: count for name, count in sorted(counts.items()) if not name.startswith("vocabulary")},
        tokenizer=manifest.tokenizer,
    )


def _with_shares(split: Split, facts: dict[str, int]) -> Split:
    counts = {
        name: facts.get(f"{split.name}_{name}", 0) for name in ("tokens", "padding", "documents", "cut_documents")
    }
    room, documents = counts["tokens"] + counts["padding"], counts["documents"]
    shares = {
        "tokens": counts["tokens"],
        "share_of_padding": counts["padding"] / room if room else 0.0,
        "share_of_documents_cut": counts["cut_documents"] / documents if documents else 0.0,
    }
    return split.model_copy(update=shares)


def _token_portions(
    groups: tuple[TokenGroup, ...], name: Callable[[TokenGroup], str | None]
) -> tuple[TokenPortion, ...]:
    counts: dict[str | None, list[int]] = {}
    for group in groups:
        had = counts.get(name(group), [0, 0, 0])
        counts[name(group)] = [had[0] + group.documents, had[1] + group.tokens, had[2] + group.bytes]
    total = sum(tokens for _, tokens, _ in counts.values()) or 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1][1], item[0] or ""))
    return tuple(
        TokenPortion(
            name=key,
            documents=documents,
            tokens=tokens,
            bytes=n_bytes,
            share_of_tokens=tokens / total if total else 0.0,
        )
        for key, (documents, tokens, n_bytes) in ordered
    )


def _expectations(expect: dict[str, Any], rows: tuple[FunnelRow, ...]) -> tuple[Expectation, ...]:
    found = {row.stage: row.share_dropped for row in rows}
    return tuple(
        Expectation(stage=stage, low=low, high=high, found=found.get(stage)) for stage, (low, high) in expect.items()
    )


_WITHOUT = {
    "language": "No stage checked the language: the column `lang` is what the source declared.",
    "exact": "No stage removed exact duplicates.",
    "minhash": "No stage removed near duplicates.",
    "pii": "No stage looked for personal data: addresses, telephone numbers and the like stand as they were collected.",
    "contamination": "No stage looked for benchmark questions: a test set may be part of this corpus.",
}


def _limits(recipe: dict[str, Any], composition: Composition) -> tuple[str, ...]:
    """What the numbers and the recipe show to be missing, whatever the authors say."""
    used = {word for entry in recipe.get("stages") or [] for word in ([entry] if isinstance(entry, str) else entry)}
    found = [sentence for word, sentence in _WITHOUT.items() if word not in used]
    for portions, missing, what in (
        (composition.by_license, {None, "", "unknown"}, "state no licence"),
        (composition.by_language, {None, "", "und"}, "have no language"),
    ):
        hit = [portion for portion in portions if portion.name in missing]
        if hit:
            n, share = sum(p.size.documents for p in hit), sum(p.share_of_documents for p in hit)
            found.append(f"{n:,} documents ({share:.2%}) {what}.")
    return tuple(found)
