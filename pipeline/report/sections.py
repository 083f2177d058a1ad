"""The sections of a datasheet, in their order: which fields each has, and where their numbers come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.core.manifest import REMOVED
from pipeline.report import changes, validation
from pipeline.report import composition as composed
from pipeline.report import funnel as funnels
from pipeline.report.fields import Code, Field, Line, Points, Section, from_run, said
from pipeline.report.grid import Columns, Grid
from pipeline.report.recipe_text import recipe_yaml
from pipeline.report.told import Told, audited, limits, of_stages


def opening(told: Told) -> Field:
    """The corpus in one sentence."""
    total, manifest = told.total, told.manifest
    values: dict[str, str | int | float] = {
        **{"documents": total.documents, "characters": total.characters, "bytes": total.bytes},
        **{"languages": len({group.lang for group in manifest.composition if group.lang})},
        **{"gristmill": manifest.gristmill, "recipe": str(manifest.recipe.get("recipe", "corpus"))},
        **{"version": str(manifest.recipe.get("version", "unversioned"))},
    }
    text = (
        "{documents:,} documents, {characters:,} characters, {bytes:,} bytes of text; languages: {languages:,}. Built "
        "by Gristmill {gristmill} from the recipe {recipe}, version {version}."
    )
    return from_run("size", Line(text=text, values=values), composed.COUNTED, "composition", scope="every document")


def all_sections(told: Told) -> Iterator[Section]:
    """Every section, also one that has nothing to say: that it has not is news too."""
    for name, (title, fields) in _SECTIONS.items():
        yield Section(name=name, title=title, fields=tuple(fields(told)))


def _identity(told: Told) -> Iterator[Field]:
    manifest = told.manifest
    pairs = [("Key", manifest.key), ("Manifest digest", manifest.digest)]
    pairs += [("Merkle root of the documents", root)] if (root := getattr(manifest, "root", "")) else []
    grid = Grid(columns=(("What", "told"), ("Value", "code")), rows=tuple(pairs))
    method = (
        "the key is the hash of recipe, inputs and assets; the digest is the sha256 of the manifest without times; the "
        "root is over ids, URLs and texts, in whatever files they lie"
    )
    yield from_run("identity", grid, method, "card", "root")
    yield from (said(told.answers, name) for name in ("creators", "released", "url"))
    yield said(told.answers, "citation", verbatim=True)


def _motivation(told: Told) -> Iterator[Field]:
    yield from (said(told.answers, name) for name in ("motivation", "intended_uses", "out_of_scope_uses"))


def _composition(told: Told) -> Iterator[Field]:
    yield from composed.documents(told.manifest)
    yield from audited(told, "domains", "columns", "texts")
    yield from composed.tokens(told.manifest)
    yield from _diversity(told)


def _diversity(told: Told) -> Iterator[Field]:
    if told.measures is None:
        return
    method = "by `gristmill measures`: counts in all documents; topics and groups in a sample drawn by id"
    unchecked = "the same command makes the same tables"
    for number, (title, grid) in enumerate((one.title, one.grid) for one in told.measures.tables):
        caption = Line(text="{title}:", values={"title": title})
        yield from_run(f"measures.{number}", grid, method, unchecked=unchecked, caption=caption)
    limits = Points(lines=tuple(Line(text=limit) for limit in told.measures.limits))
    yield from_run("measures.limits", limits, method, unchecked=unchecked)


def _sources(told: Told) -> Iterator[Field]:
    if told.manifest.inputs:
        columns: Columns = (("Input", "text"), ("Of source", "name"), ("Bytes", "count"), ("sha256", "code"))
        rows = tuple((item.name, item.source, item.bytes, item.sha256) for item in told.manifest.inputs)
        yield from_run(
            "inputs", Grid(columns=columns, rows=rows), "bytes read, and the sha256 of the whole file", "rebuild"
        )
    yield said(told.answers, "collection")


def _funnel(told: Told) -> Iterator[Field]:
    recipe = told.manifest.recipe
    rows = funnels.funnel(told.manifest)
    counted = "counted in the sweep that dropped them; that documents read = kept + dropped was checked for this page"
    yield from_run("funnel", funnels.as_grid(rows, recipe.get("published") or {}), counted, "funnel", "ledger")
    if expected := recipe.get("expect"):
        found = {row.stage: row.share_dropped for row in rows}
        yield from_run(
            "expected", funnels.expected(expected, found), "shares of the funnel, beside the recipe's", "funnel"
        )
    if compared := funnels.older(told.manifest, rows):
        unchecked = "the older builds are not part of this corpus"
        yield from_run(
            "older_builds", compared, "documents that are in a finished build were dropped", unchecked=unchecked
        )
    if told.manifest.warnings:
        warned = tuple((warned.stage, warned.message) for warned in told.manifest.warnings)
        grid = Grid(columns=(("Warning of the build on", "name"), ("What it says", "told")), rows=warned)
        yield from_run("warnings", grid, "shares of the funnel that are news", "warnings")
    yield from of_stages(told, "funnel")
    caption = Line(text="The whole recipe; stages run in this order.")
    code = Code(text=recipe_yaml(recipe), language="yaml")
    yield from_run("recipe", code, "the recipe that was built, overrides applied", "recipe", caption=caption)


def _quality(told: Told) -> Iterator[Field]:
    yield from of_stages(told, "quality")
    yield from audited(told, "rules", "near_duplicates")


def _teaching(told: Told) -> Iterator[Field]:
    if told.validation is not None:
        yield from validation.fields(told.validation)


def _language(told: Told) -> Iterator[Field]:
    yield from of_stages(told, "language")
    yield from audited(told, "language")


def _personal(told: Told) -> Iterator[Field]:
    yield from of_stages(told, "personal")
    yield from audited(told, "personal_data")
    yield said(told.answers, "sensitive_content")


def _harmful(told: Told) -> Iterator[Field]:
    yield from of_stages(told, "harmful")


def _rights(told: Told) -> Iterator[Field]:
    yield from composed.rights(told.manifest)
    yield from of_stages(told, "rights")
    yield said(told.answers, "license_note")


def _decontamination(told: Told) -> Iterator[Field]:
    yield from of_stages(told, "decontamination")
    yield from audited(told, "contamination")


def _reproducibility(told: Told) -> Iterator[Field]:
    manifest = told.manifest
    columns: Columns = (("Sweep", "name"), ("Shards", "count"), ("Key", "code"))
    rows = tuple((sweep.name, sweep.shards, sweep.key) for sweep in manifest.sweeps)
    method = "a sweep's key is the hash of what determines its output; shards are those of the store, empty ones too"
    yield from_run("sweeps", Grid(columns=columns, rows=rows), method, "rebuild")
    packages = manifest.execution.get("packages") or {}
    python = {"python": manifest.execution["python"]} if "python" in manifest.execution else {}
    versions = tuple((name, str(value)) for name, value in (python | dict(sorted(packages.items()))).items())
    if versions:
        grid = Grid(columns=(("Made with", "name"), ("Version", "text")), rows=versions)
        unchecked = "what ran on the builder's machine leaves no trace in the files"
        yield from_run("versions", grid, "as installed where it was built", unchecked=unchecked)
    caption = Line(text="Build it again from `recipe.yaml` and compare the root and the digest:")
    yield Field(
        name="command",
        standing="run",
        value=Code(text="gristmill build recipe.yaml", language="bash"),
        caption=caption,
        method="two builds of the same key have the same digest, whatever the machine",
        checks=("rebuild",),
    )


def _integrity(told: Told) -> Iterator[Field]:
    manifest = told.manifest
    columns: Columns = (("File", "text"), ("Rows", "count"), ("Bytes", "count"), ("sha256", "code"))
    rows = tuple((file.path, file.rows, file.bytes, file.sha256) for file in manifest.files)
    method = "rows, bytes and sha256 of each file when it was written"
    yield from_run("files", Grid(columns=columns, rows=rows), method, "files", "rows")
    if not told.audit:
        unchecked = "there is nothing to verify"
        line = Line(text="Nobody has audited this state of the corpus; `gristmill audit CORPUS` does, from the files.")
        yield Field(name="audit", standing="not stated", value=line, unchecked=unchecked)
        return
    columns = (("Check", "name"), ("Outcome", "text"), ("Scope", "text"), ("What was seen", "told"))
    rows = tuple((found.check, found.status, found.scope, found.said) for found in told.audit.findings)
    figures = told.audit.figures
    line = Line(
        text="Figures of this card re-verified: {verified:,}; wrong: {wrong:,}; that cannot be verified: {left:,}.",
        values={"verified": figures.verified, "wrong": figures.wrong, "left": figures.unverifiable},
    )
    yield Field(
        name="audit",
        standing="measured",
        value=Grid(columns=columns, rows=rows),
        caption=line,
        method="by `gristmill audit`, with the seed {seed}".replace("{seed}", told.audit.seed[:16]),
        checks=("audit",),
    )


def _risks(told: Told) -> Iterator[Field]:
    yield said(told.answers, "limitations")
    if lines := tuple(limits(told)):
        caption = Line(text="What the recipe and the numbers show:")
        yield from_run(
            "limits",
            Points(lines=lines),
            "from the recipe and the composition",
            "composition",
            "recipe",
            caption=caption,
        )


def _distribution(told: Told) -> Iterator[Field]:
    yield said(told.answers, "distribution")


def _maintenance(told: Told) -> Iterator[Field]:
    yield from (said(told.answers, name) for name in ("maintenance", "contact"))
    removed = [sweep for sweep in told.manifest.sweeps if sweep.name == REMOVED]
    if removed:
        line = Line(
            text="{n:,} documents were taken out of the finished corpus; `removed.json` names them.",
            values={"n": removed[-1].rows_in - removed[-1].rows_out},
        )
        yield from_run("removed", line, "counted when they were taken out", "removed")
    if told.changes:
        yield from changes.fields(told.changes)


_SECTIONS: dict[str, tuple[str, Callable[[Told], Iterator[Field]]]] = {
    "identity": ("Identity", _identity),
    "motivation": ("Motivation", _motivation),
    "composition": ("Composition", _composition),
    "sources": ("Sources and collection", _sources),
    "funnel": ("Funnel", _funnel),
    "quality": ("Quality", _quality),
    "teaching": ("Does it teach?", _teaching),
    "language": ("Language", _language),
    "personal_data": ("Personal data", _personal),
    "harmful_content": ("Harmful content", _harmful),
    "rights": ("Rights", _rights),
    "decontamination": ("Decontamination", _decontamination),
    "reproducibility": ("Reproducibility", _reproducibility),
    "integrity": ("Integrity", _integrity),
    "risks": ("Risks and limitations", _risks),
    "distribution": ("Distribution", _distribution),
    "maintenance": ("Maintenance", _maintenance),
}
