"""The YAML that the Hugging Face Hub reads at the head of a card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from pipeline.core.manifest import FileDigest, Manifest
from pipeline.report.fields import Datasheet
from pipeline.report.licences import hub_license
from pipeline.report.safe import one_line


def front_matter(sheet: Datasheet, manifest: Manifest, suffix: str | None = None) -> dict[str, Any]:
    """What the Hub reads; `suffix` is that of the shards where the card will lie, by default those of the manifest.

    The rows of each split are those of the manifest: `load_dataset` refuses to load any other number.
    """
    tags = ["gristmill", "pretraining", *(["tokenized"] if manifest.tokens else [])]
    found = {
        "pretty_name": one_line(sheet.title),
        "language": list(sheet.languages),
        **hub_license(sheet.license),
        "size_categories": [size_category(sheet.documents)],
        "task_categories": ["text-generation"],
        "tags": tags,
        "configs": _configs(manifest, suffix),
        "dataset_info": _counts(manifest),
    }
    return {key: value for key, value in found.items() if value}


def size_category(documents: int) -> str:
    """The Hub's exact word for a number of rows."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    above = sum(documents >= 10 ** (3 + step) for step in range(len(bounds)))
    if above == 0:
        return "n<1K"
    return "n>1T" if above == len(bounds) else f"{bounds[above - 1]}<n<{bounds[above]}"


def _counts(manifest: Manifest) -> list[dict[str, Any]]:
    """The number of rows by config and split."""
    splits = {"documents": {"train": sum(file.rows for file in manifest.documents)}, "tokens": {}}
    for file in manifest.tokens:
        name = PurePosixPath(file.path).parent.name
        splits["tokens"][name] = splits["tokens"].get(name, 0) + file.rows
    return [
        {"config_name": config, "splits": [{"name": name, "num_examples": n} for name, n in rows.items() if n]}
        for config, rows in splits.items()
        if any(rows.values())
    ]


def _configs(manifest: Manifest, suffix: str | None) -> list[dict[str, Any]]:
    """The data files by config. A shard without rows makes `load_dataset` fail: it is left out by naming the others."""
    splits: dict[str, list[FileDigest]] = {}
    for file in manifest.tokens:
        splits.setdefault(PurePosixPath(file.path).parent.name, []).append(file)
    ordered = sorted(splits, key=lambda name: (name != "train", name))
    documents = _data_files({"train": ("documents", manifest.documents)}, suffix)
    tokens = _data_files({name: (f"tokens/{name}", splits[name]) for name in ordered}, suffix)
    configs = [{"config_name": "documents", "default": True, "data_files": documents}] if documents else []
    return configs + ([{"config_name": "tokens", "data_files": tokens}] if tokens else [])


def _data_files(splits: dict[str, tuple[str, Sequence[FileDigest]]], suffix: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for split, (folder, files) in splits.items():
        end = f".{suffix}" if suffix else PurePosixPath(files[0].path).suffix if files else ""
        full = [f"{folder}/{PurePosixPath(file.path).stem}{end}" for file in files if file.rows]
        if full:
            found.append({"split": split, "path": f"{folder}/*{end}" if len(full) == len(files) else full})
    return found
