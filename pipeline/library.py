"""Gristmill for programs: what the command line does, with types. `from pipeline import Recipe, build, audit`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError, StoreError, UsageError
from pipeline.core.manifest import Manifest, read_manifest
from pipeline.core.mirror import bring, located
from pipeline.core.shards import write_text
from pipeline.run.checking import recipe_of
from pipeline.run.engine import Built, Listener
from pipeline.run.engine import build as build_plan
from pipeline.run.options import Device, Engine, Options, run_options
from pipeline.run.plan import Plan, make_plan
from pipeline.run.progress import Quiet
from pipeline.run.recipe import Recipe as Recipe

if TYPE_CHECKING:
    import datasets
    import polars as pl

    from pipeline.report.census import CensusReport
    from pipeline.report.diff import Diff
    from pipeline.report.explain import Explanation
    from pipeline.report.findings import Audit


@dataclass(frozen=True)
class Corpus:
    """A corpus in its folder, built or exported; nothing is read before it is asked for."""

    folder: Path

    def __init__(self, folder: str | Path) -> None:
        object.__setattr__(self, "folder", located(folder))

    @cached_property
    def manifest(self) -> Manifest:
        """Every number of the corpus; StoreError where the folder has none."""
        return read_manifest(self.folder)

    def documents(self) -> datasets.Dataset:
        """The documents as a Hugging Face dataset, memory-mapped from the cache of `datasets`."""
        return self._dataset([file.path for file in self.manifest.documents], "documents")

    def tokens(self, split: str = "train") -> datasets.Dataset:
        """The packed rows of `train` or `holdout` as a Hugging Face dataset."""
        return self._dataset([f.path for f in self.manifest.tokens if f.path.split("/")[1] == split], f"{split} rows")

    def frame(self) -> pl.LazyFrame:
        """The documents as a lazy Polars frame."""
        import polars as pl

        files = self._here(file.path for file in self.manifest.documents)
        if not files:
            raise StoreError(f"{self.folder}: no document was kept")
        return pl.scan_parquet(files) if files[0].endswith(".parquet") else pl.scan_ipc(files)

    def dropped(self) -> pl.LazyFrame:
        """The ledgers as one lazy frame: each document as it was when `stage` dropped it, why, and by which numbers.

        They lie in the store beside a built corpus, and are no part of a release.
        """
        from pipeline.report.ledger import dropped

        return dropped(self.folder, self.manifest)

    def explain(self, document: str, *, base: str | Path = "") -> Explanation:
        """The fate of a document, by id, URL or a piece of its text; older builds that it met lie below `base`."""
        from pipeline.report.explain import explain

        return explain(self.folder, document, base=Path(base))

    def _dataset(self, files: list[str], what: str) -> datasets.Dataset:
        import datasets

        if not files:
            raise StoreError(f"{self.folder}: the corpus has no {what}")
        form = "parquet" if files[0].endswith(".parquet") else "arrow"
        return datasets.load_dataset(form, data_files=self._here(files), split="train")

    def _here(self, files: Iterable[str]) -> list[str]:
        """These files on this machine."""
        paths = [self.folder / file for file in files]
        bring(paths)
        return [os.fspath(path) for path in paths]


def build(
    recipe: Recipe | str | Path,
    *,
    root: str | Path = "build",
    workers: int | None = None,
    batch_rows: int = 256,
    memory: int | None = None,
    data: Sequence[str | Path] = (),
    offline: bool = False,
    allow: Sequence[str] = (),
    device: Device = "auto",
    engine: Engine = "processes",
    recheck: bool = False,
    replace: bool = False,
    listener: Listener | None = None,
) -> Corpus:
    """Build the corpus `<root>/<recipe>`, or go on where an earlier call stopped; its options are those of the command.

    `workers` None is one a core, 1 works in this process; the `listener` is told how it goes on.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe, data=data, offline=offline)
    options = run_options(
        recipe.base,
        root=root,
        workers=workers,
        batch_rows=batch_rows,
        memory=memory,
        data=data,
        offline=offline,
        allow=allow,
        device=device,
        engine=engine,
        recheck=recheck,
        replace=replace,
    )
    return Corpus(carried_out(planned(recipe, options), options, listener or Quiet()).folder)


def planned(recipe: Recipe, options: Options) -> Plan:
    """The sweeps of a recipe; RecipeError where the answers that its card quotes cannot be read."""
    from pipeline.report.card import answers_of

    answers_of(recipe.data, recipe.base)
    with options.place.active():
        return make_plan(recipe)


def carried_out(plan: Plan, options: Options, listener: Listener) -> Built:
    """A plan built, with its card."""
    from pipeline.report.card import write_card

    built = build_plan(plan, options, listener)
    write_card(built.folder, plan.recipe.base)
    return built


def census(
    recipe: Recipe | str | Path,
    *,
    sample: int = 10_000,
    root: str | Path = "build",
    workers: int | None = None,
    data: Sequence[str | Path] = (),
    offline: bool = False,
) -> CensusReport:
    """What each rule alone would drop of a sample; measures are kept, so that another limit is only judged again."""
    from pipeline.report import census as censuses
    from pipeline.run.census import take_census

    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe, data=data, offline=offline)
    options = run_options(recipe.base, root=root, workers=workers, data=data, offline=offline)
    return censuses.census(take_census(planned(recipe, options), options, sample=sample).folder)


def audit(
    corpus: Corpus | str | Path,
    *,
    sample: int = 3_000,
    seed: str = "",
    benchmarks: Sequence[str | Path] = (),
    rebuild: bool = False,
    base: str | Path = "",
    data: Sequence[str | Path] = (),
    write: bool = False,
    sign: str | Path | None = None,
    verify: str | Path | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Audit:
    """Check every claim of a card from its files alone; the corpus is a folder or `hf://user/name@revision`.

    `write` lays audit.json beside the card, which then shows it; `sign` signs it with a private key, `verify` names the
    public key of who did. What could not be asked is said to `tell`.
    """
    from pipeline.report import audit as audits
    from pipeline.report.audit import attest, fetch
    from pipeline.report.audit.evidence import Evidence
    from pipeline.report.card import render_again
    from pipeline.report.findings import FILE
    from pipeline.run.again import AskedAgain

    for file in (*benchmarks, *((verify,) if verify else ()), *((sign,) if sign else ())):
        if not Path(file).is_file():
            raise UsageError(f"{file}: there is no such file")
    folder = fetch.folder(str(corpus.folder if isinstance(corpus, Corpus) else corpus))
    place = Place(base=Path(base), data=tuple(map(Path, data)), offline=True)
    try:
        recipe = recipe_of(read_manifest(folder).recipe, Path(base), files=False)
        asked = AskedAgain(recipe, place, folder.resolve().parent)
    except GristmillError as error:
        tell(f"the recipe's own stages cannot be asked: {error}")
        asked = None
    key = Path(verify) if verify else None
    evidence = Evidence(folder, seed, sample, asked, rebuild, tuple(map(Path, benchmarks)), key, place)
    found = audits.audit(evidence, beside=write or bool(sign))
    if write or sign:
        write_text(folder / FILE, found.to_json())
        render_again(folder)
    if sign:
        attest.sign(found, folder, Path(sign))
    return found


def diff(old: Corpus | str | Path, new: Corpus | str | Path) -> Diff:
    """What changed between two corpora, and why: recipe, inputs, versions, and documents added, removed, changed."""
    from pipeline.report.diff import diff as compared

    return compared(*(located(one.folder if isinstance(one, Corpus) else one) for one in (old, new)))
