"""From YAML to a recipe that was checked whole, before a byte is read: every mistake has its place and a remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pipeline.core.document import Document, parse_yaml, read_yaml
from pipeline.core.errors import GristmillError, Problem, RecipeError
from pipeline.core.schema import DOCUMENT, NEVER_STORED, RAW
from pipeline.core.stage import Checkpoint, Global, Local, Reshape, Source, Stage
from pipeline.run.overrides import apply_overrides
from pipeline.run.recipe import Header, Named, Recipe
from pipeline.run.registry import room_of, stages, suggestion

MOST = 500
"""Sources, stages, and mistakes in one of them that are spoken of: looking for what was meant takes its time."""

SECTIONS = ("sources", "stages", "tokenizer", "pack")


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe; RecipeError carries every problem. Overrides read `stages.gopher.min_words=20`."""
    return check_recipe(read_yaml(path), str(path), project_folder(path), overrides)


def project_folder(path: Path) -> Path:
    """What paths in a recipe are relative to: its folder, or the parent of a folder called `recipes`."""
    folder = path.resolve().parent
    return folder.parent if folder.name == "recipes" else folder


def recipe_of(data: Mapping[str, Any], base: Path | None = None, *, files: bool = True) -> Recipe:
    """Check a recipe given as plain values; without `files`, those that it names need not be at hand."""
    raw = json.dumps(data, ensure_ascii=False).encode()
    return check_recipe(parse_yaml(raw), str(data.get("recipe", "recipe")), base or Path.cwd(), files=files)


def check_recipe(
    document: Document, name: str, base: Path, overrides: Sequence[str] = (), *, files: bool = True
) -> Recipe:
    """Check parsed YAML."""
    if not isinstance(document.value, dict):
        raise RecipeError([Problem("", "a recipe is a map with the keys recipe, version, sources, stages")], name)
    checker = _Checker(document, files)
    data = apply_overrides(document.value, overrides, checker.problems)
    recipe = checker.recipe(data, base, tuple(overrides))
    if checker.problems or recipe is None:
        raise RecipeError(checker.problems, name)
    return recipe


@dataclass
class _Checker:
    document: Document
    files: bool
    problems: list[Problem] = field(default_factory=list)

    def recipe(self, data: dict[str, Any], base: Path, overrides: tuple[str, ...]) -> Recipe | None:
        header = self._model(Header, {k: v for k, v in data.items() if k not in SECTIONS}, "", SECTIONS)
        sources = self._entries(data.get("sources"), "sources", Source)
        named = self._entries(data.get("stages", []), "stages", Local, Global, Checkpoint, empty=True)
        self._checkpoints(named)
        tokenizer = self._tokenizer(data.get("tokenizer"))
        pack = self._pack(data.get("pack"))
        if pack and not tokenizer:
            self._say("pack", "needs a `tokenizer:` section, such as {train_bpe: {vocab: 8192}}")
        read = tuple(entry.stage for entry in sources if isinstance(entry.stage, Source))
        self._unique([source.name for source in read], "sources", "source", "give one another `name:`")
        counted = [entry for entry in named if not isinstance(entry.stage, Checkpoint)]
        labels = [entry.label for entry in (*counted, *(entry for entry in (tokenizer, pack) if entry))]
        self._unique(labels, "stages", "stage", "name the second with `as:`")
        if isinstance(header, Header):
            self._expectations(header, [*labels, *_written(data.get("stages"))])
        if self.problems or not isinstance(header, Header):
            return None
        recipe = Recipe(header, read, tuple(named), tokenizer, pack, data, base, overrides)
        self.problems += [*flow_problems(recipe), *(missing_files(recipe) if self.files else ())]
        return recipe

    def _say(self, path: str, message: str) -> None:
        self.problems.append(Problem(self.document.where(path), message))

    def _entries(self, value: Any, section: str, *kinds: type[Stage], empty: bool = False) -> list[Named]:
        if not isinstance(value, list) or (not value and not empty):
            self._say(section, "must be a list of stages" + ("" if empty else " with at least one entry"))
            return []
        if len(value) > MOST:
            self._say(section, f"{len(value):,} entries are more than a recipe may have ({MOST:,})")
            return []
        found = [self._entry(entry, f"{section}[{index}]", kinds) for index, entry in enumerate(value)]
        return [entry for entry in found if entry]

    def _entry(self, entry: Any, path: str, kinds: tuple[type[Stage], ...]) -> Named | None:
        label = None
        if isinstance(entry, dict):
            entry = dict(entry)
            label = entry.pop("as", None)
        if isinstance(entry, dict) and len(entry) == 1:
            [(word, config)] = entry.items()
        elif isinstance(entry, str):
            word, config = entry, {}
        else:
            self._say(path, "must be a word, or a map with one word (and `as:`), such as {length: {min: 100}}")
            return None
        return self._stage(word, config, path, kinds, label)

    def _stage(
        self, word: str, config: Any, path: str, kinds: tuple[type[Stage], ...], label: Any = None
    ) -> Named | None:
        known = {name: cls for name, cls in stages().items() if issubclass(cls, kinds)}
        if word not in known:
            if word in stages():
                kind = next(k.__name__.lower() for k in stages()[word].__mro__ if k.__module__ == Stage.__module__)
                self._say(path, f"{word!r} is a {kind} and does not belong here" + _belongs(stages()[word]))
            else:
                self._say(path, f"unknown stage {word!r}{suggestion(word, list(known))}")
            return None
        if label is not None and (not isinstance(label, str) or not label.replace("_", "").isalnum()):
            self._say(f"{path}.as", "must be a word of letters, digits and _")
            return None
        stage = self._model(known[word], {} if config is None else config, f"{path}.{word}")
        return Named(label or word, stage) if isinstance(stage, Stage) else None

    def _tokenizer(self, value: Any) -> Named | None:
        if value is None:
            return None
        if not isinstance(value, dict) or len(value) != 1:
            self._say("tokenizer", "must be a map with one word, such as {train_bpe: {vocab: 8192}}")
            return None
        [(word, config)] = value.items()
        if word in stages() and not _makes_tokenizer(stages()[word]):
            self._say("tokenizer", f"{word!r} does not make a tokenizer")
            return None
        return self._stage(word, config, "tokenizer", (Global,))

    def _pack(self, value: Any) -> Named | None:
        if value is None:
            return None
        stage = self._model(stages()["pack"], value, "pack")
        return Named("pack", stage) if isinstance(stage, Reshape) else None

    def _model(self, model: type[BaseModel], config: Any, path: str, others: Sequence[str] = ()) -> BaseModel | None:
        if not isinstance(config, dict):
            self._say(path, "must be a map of settings")
            return None
        try:
            return model.model_validate_json(json.dumps(config, ensure_ascii=False))
        except ValidationError as error:
            for detail in error.errors()[:MOST]:
                known = _keys_at(model, detail["loc"][:-1]) or [*model.model_fields, *others]
                self._say(_join(path, detail["loc"]), _phrase(detail, known))
        return None

    def _unique(self, names: list[str], path: str, noun: str, remedy: str) -> None:
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._say(path, f"two {noun}s are called {name!r}: {remedy}")

    def _checkpoints(self, named: list[Named]) -> None:
        for index, (entry, after) in enumerate(zip_longest(named, named[1:])):
            if isinstance(entry.stage, Checkpoint) and not (after and isinstance(after.stage, Local)):
                message = (
                    "keeps nothing that is not kept anyway: put it before a stage that looks at each document alone"
                )
                self._say(f"stages[{index}]", message)

    def _expectations(self, header: Header, labels: list[str]) -> None:
        for label, (least, most) in header.expect.items():
            if label not in labels:
                self._say(f"expect.{label}", f"no stage is called {label!r}{suggestion(label, labels)}")
            elif not 0 <= least <= most <= 1:
                self._say(f"expect.{label}", "must be [least, most] with 0 <= least <= most <= 1")
        for label in header.published:
            if label not in labels:
                self._say(f"published.{label}", f"no stage is called {label!r}{suggestion(label, labels)}")


def flow_problems(recipe: Recipe) -> list[Problem]:
    """Columns that a stage reads and nothing before it writes."""
    problems: list[Problem] = []
    for index, source in enumerate(recipe.sources):
        have = set(DOCUMENT) - {"text"} | set(source.columns_written())
        for named in recipe.all_stages:
            for column in sorted(set(named.stage.columns_read()) - have):
                problems.append(Problem(f"stages.{named.label}", _missing(column, recipe, index, have)))
            have |= set(named.stage.columns_written())
            if isinstance(named.stage, Global | Checkpoint):
                have -= NEVER_STORED
        if "text" not in have:
            problems.append(Problem(f"sources[{index}]", _missing("text", recipe, index, have)))
    return list(dict.fromkeys(problems))


def missing_files(recipe: Recipe) -> list[Problem]:
    """Files that a stage needs and that are not at hand, or are others than the recipe wants."""
    problems: list[Problem] = []
    for named in recipe.all_stages:
        try:
            named.stage.assets()
        except GristmillError as error:
            problems.append(Problem(f"stages.{named.label}", str(error)))
    return list(dict.fromkeys(problems))


def _missing(column: str, recipe: Recipe, index: int, have: set[str]) -> str:
    source = recipe.sources[index]
    if column == "text" and set(RAW) & set(source.columns_written()):
        return f"source {source.name!r} gives pages, not text: put `extract` first"
    writers = [word for word, cls in stages().items() if column in cls.writes]
    hint = f"; written by: {', '.join(writers)}" if writers else suggestion(column, sorted(have))
    return f"reads the column {column!r}, which nothing before it writes{hint}"


def _written(entries: Any) -> list[str]:
    """The words and labels that stand in a list of stages, right or wrong: nobody is told twice of one mistake."""
    listed = entries if isinstance(entries, list) else []
    keyed = [entry for entry in listed if isinstance(entry, dict)]
    words = [entry for entry in listed if isinstance(entry, str)]
    return [*words, *(str(name) for entry in keyed for name in (*entry, entry.get("as")) if name)]


def _makes_tokenizer(stage: type[Stage]) -> bool:
    return issubclass(stage, Global) and room_of(stage) == "tokens"


def _belongs(stage: type[Stage]) -> str:
    if issubclass(stage, Source):
        return ": sources go under `sources:`"
    return f": write it as `{stage.word}:` at the top level" if issubclass(stage, Reshape) else ""


def _join(path: str, loc: Sequence[int | str]) -> str:
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _keys_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The keys that a map inside a model may have; none for the model itself."""
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = [kind for kind in parts_of(field.annotation) if issubclass(kind, BaseModel)] if field else []
        if not inner:
            continue
        model = inner[0]
    return list(model.model_fields) if loc else []


def parts_of(annotation: Any) -> list[type[Any]]:
    """The classes that an annotation is made of, in order."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [kind for inner in get_args(annotation) for kind in parts_of(inner)]


def _phrase(detail: Any, known: list[str]) -> str:
    kind, value = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return f"unknown key{suggestion(str(detail['loc'][-1]), known)}"
    if kind == "missing":
        return "is missing and has no default"
    if kind == "string_type" and isinstance(value, int | float):
        return f'must be text: write "{value}" in quotes'
    message = str(detail["msg"])
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return f"{message[0].lower()}{message[1:]}, not {shown[:80]}"
