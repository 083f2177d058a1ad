"""A first recipe: those that come with Gristmill, and one written from four answers, with comments that teach."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pipeline
from pipeline.core.asset import Place
from pipeline.core.document import read_yaml
from pipeline.core.errors import UsageError
from pipeline.core.shards import write_text
from pipeline.run.checking import load_recipe, project_folder
from pipeline.run.plan import make_plan
from pipeline.run.recipe import Recipe
from pipeline.run.registry import suggestion

SHIPPED = Path(pipeline.__file__).parent / "recipes"
"""The recipes as they are installed; in a checkout a link to `recipes/`."""

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

_PAGES = (".html", ".htm", ".xhtml")
_TEXTS = (".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".arrow", ".feather", ".txt", ".md", ".markdown")
_PACKED = r"(\.gz|\.gzip|\.zst|\.zstd)?$"


@dataclass(frozen=True)
class Shipped:
    """A recipe that comes with Gristmill."""

    name: str
    description: str
    path: Path


@dataclass(frozen=True)
class Wishes:
    """What `gristmill new` asks: the name of the corpus, its files, the languages to keep (none: all), a licence."""

    name: str
    files: tuple[str, ...]
    languages: tuple[str, ...] = ()
    license: str = "unknown"
    purpose: str = ""


def shipped() -> tuple[Shipped, ...]:
    """All of them, by name."""
    found = ((path.stem, read_yaml(path).value, path) for path in sorted(SHIPPED.glob("*.yaml")))
    return tuple(Shipped(name, value.get("description", ""), path) for name, value, path in found)


def copied(name: str, out: Path, new_name: str | None = None) -> Path:
    """A shipped recipe copied into a project, under another name if one is given; its comments stay."""
    known = {recipe.name: recipe.path for recipe in shipped()}
    if name not in known:
        raise UsageError(
            f"--from {name}: no such recipe{suggestion(name, list(known))} (`gristmill recipes` lists them)"
        )
    text = known[name].read_text(encoding="utf-8")
    text = re.sub(r", answers: [^}\s]+", "", text)
    if new_name:
        text = re.sub(r"(?m)^recipe: .*$", f"recipe: {checked_name(new_name)}", text, count=1)
    return _written(out, text)


def created(wishes: Wishes, out: Path) -> Recipe:
    """A recipe written from wishes, which loads and plans; nothing is written where it would not."""
    path = _written(out, recipe_text(wishes))
    try:
        with Place(base=project_folder(path), data=outside(wishes.files, project_folder(path))).active():
            recipe = load_recipe(path)
            make_plan(recipe)
    except BaseException:
        path.unlink()
        raise
    return recipe


def checked_name(name: str) -> str:
    """The name, which is also that of a folder; UsageError says what it may be."""
    if not NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-_.")
        hint = f"; {near!r} would do" if NAME.fullmatch(near) else ""
        raise UsageError(f"--name {name!r}: small letters, digits and . _ - only, as it names a folder{hint}")
    return name


def outside(files: Sequence[str], base: Path) -> tuple[Path, ...]:
    """The folders of those files that do not lie in the project: builds have to be allowed to read them."""
    starts = [Path(re.split(r"[*?\[]", file)[0] + "x").parent for file in files if "://" not in file]
    return tuple(dict.fromkeys(s.resolve() for s in starts if not (base / s).resolve().is_relative_to(base.resolve())))


def recipe_text(wishes: Wishes) -> str:
    """The recipe; UsageError where its files are of no kind that can be read."""
    word, pages, files = _kind(wishes.files)
    paths = ", ".join(json.dumps(file, ensure_ascii=False) for file in files)
    keep = ", ".join(f"{_key(code)}: 0.65" for code in wishes.languages)
    columns = ["      # columns: {text: content, url: link}    # where the data has other names than `text`"]
    extract = ["  - extract                        # pages to text: menus and footers go"]
    lines = [
        f"# How {wishes.name} is made: which files, which stages in which order. Data, never code.",
        "#   gristmill plan THIS     what would be done; no document is read",
        "#   gristmill census THIS   what each rule would drop, and at other limits; nothing is dropped",
        "#   gristmill build THIS    do it; run again, it goes on where it stopped",
        "# All stages and their settings: gristmill stages, or gristmill stages gopher.",
        f"recipe: {checked_name(wishes.name)}",
        "version: 2026.1.0                  # raise it with every change: name and version stand for one content",
        f"description: {json.dumps(wishes.purpose or f'Text from {files[0]}', ensure_ascii=False)}",
        "",
        "sources:",
        f"  - {word}:",
        "      name: own                    # the ledger and the card call it so",
        f"      paths: [{paths}]    # relative to the project; ** is any depth",
        f"      license: {json.dumps(wishes.license, ensure_ascii=False)}    # of a document that does not say",
        *(columns if word == "files" and not pages else ()),
        "",
        "stages:                            # in this order; each keeps a document, or drops it for a reason",
        *(extract if pages else ()),
        "  - normalize                      # one way to write each character, no control characters",
        "  # Writes the language; what is kept has at least this probability of being it.",
        f"  - language{f': {{keep: {{{keep}}}}}' if keep else ''}",
        "  - gopher: {min_words: 50}        # words, stop words, symbols; limits go by the language",
        "  - repetition                     # lines and runs of words that occur again and again",
        "  # - pii                          # e-mail addresses, telephone numbers and the like are replaced",
        "  - exact                          # equal texts: the first one stays",
        "  - minhash: {verify: true}        # texts that are nearly equal: see gristmill lsh",
        "",
        "tokenizer: {train_bpe: {vocab: 8192}}    # or {tokenizer_file: {path: tokenizer.json}}",
        "pack: {length: 1024, strategy: best_fit, holdout: 0.01}   # rows to train on; 1 % of documents held out",
        "card: {license: other}             # of the corpus as a whole; answers: FILE for words that only you know",
        "# expect: {gopher: [0.05, 0.30]}   # shares that should be dropped: the build warns of others",
    ]
    return "\n".join(lines) + "\n"


def _kind(files: Sequence[str]) -> tuple[str, bool, tuple[str, ...]]:
    """The source to read them, whether they are pages, and the files: of a folder, those of its commonest kind."""
    listed = tuple(_in_folder(Path(file)) if Path(file).is_dir() else file for file in files)
    names = [re.sub(_PACKED, "", name.lower()) for name in listed]
    if all(name.endswith(".warc") for name in names):
        return "warc", True, listed
    if all(name.endswith(".wet") for name in names):
        return "wet", False, listed
    suffixes = [Path(name).suffix for name in names]
    for name, suffix in zip(listed, suffixes, strict=True):
        if suffix not in (*_PAGES, *_TEXTS):
            kinds = ".warc.gz, .wet.gz, .jsonl, .parquet, .arrow, .txt, .md and .html"
            raise UsageError(
                f"--files {name}: what kind of file? {kinds} are read, also with .gz or .zst, one kind at a time; "
                "a dataset of the Hub is a source, too: gristmill stages hub"
            )
    return "files", any(suffix in _PAGES for suffix in suffixes), listed


def _in_folder(folder: Path) -> str:
    """A glob of the files in a folder that are most."""
    known = (*_PAGES, *_TEXTS, ".warc", ".wet")
    found: Counter[str] = Counter()
    for path in folder.rglob("*"):
        bare = re.sub(_PACKED, "", path.name.lower())
        if path.is_file() and Path(bare).suffix in known:
            found[path.name[len(bare) - len(Path(bare).suffix) :]] += 1
    if not found:
        raise UsageError(f"--files {folder}: no file in it that is read; name them, such as {folder}/**/*.jsonl")
    return f"{folder.as_posix()}/**/*{found.most_common(1)[0][0]}"


def _key(code: str) -> str:
    """A language code as YAML has it: `no` is a word like any other."""
    if not re.fullmatch(r"[a-zA-Z]{2,3}([_-]\w+)?", code):
        raise UsageError(f"--languages {code!r}: codes such as en, zh or sv, with commas between them")
    return code.lower()


def _written(out: Path, text: str) -> Path:
    if out.exists():
        raise UsageError(f"{out}: there is a recipe already; take another --name or --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    return out
