"""A release rehearsed: published to a hub on this machine by the real client, and read back as its users will."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.core.errors import GristmillError
from pipeline.core.manifest import Manifest, Record, read_manifest
from pipeline.report.rehearse.server import Rehearsal
from pipeline.report.release import check_files, released

TIMEOUT = 3600
"""Seconds that one step may take."""


class Step(Record):
    """One step: whether it went as it should, and what it said."""

    name: str
    passed: bool
    said: str


def rehearse(corpus: Path, rehearsal: Rehearsal, scratch: Path) -> list[Step]:
    """Publish, publish again, download the tag, load and stream every configuration, audit; stops where one fails."""
    folder = released(corpus)
    manifest = read_manifest(folder)
    steps: list[Step] = []
    for name, said, passed in _steps(folder, manifest, rehearsal, scratch):
        steps.append(Step(name=name, passed=passed, said=said))
        if not passed:
            break
    return steps


def counts_of(manifest: Manifest) -> dict[str, int]:
    """Rows by `config/split`, as `load_dataset` should find them."""
    counts = {"documents/train": sum(file.rows for file in manifest.documents)}
    for file in manifest.tokens:
        key = f"tokens/{PurePosixPath(file.path).parent.name}"
        counts[key] = counts.get(key, 0) + file.rows
    return {key: count for key, count in counts.items() if count}


def as_text(steps: list[Step]) -> str:
    """For a terminal."""
    return "\n".join(f"{'pass' if step.passed else 'FAIL'}  {step.name}: {step.said}" for step in steps)


def wait() -> None:
    """Until Ctrl-C."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def _steps(folder: Path, manifest: Manifest, rehearsal: Rehearsal, scratch: Path) -> Iterator[tuple[str, str, bool]]:
    name = f"rehearsal/{manifest.recipe['recipe']}"
    environment = os.environ | rehearsal.environment | {"HF_HOME": str(scratch / "home")}
    publish = ["-m", "pipeline.cli", "publish", str(folder), name, "--json"]
    try:
        first = _run(publish, environment)
        yield "publish", f"{first['sent']:,} files, tag {first['tag']}", first["sent"] > 0
        again = _run(publish, environment)
        same = again["commit"] == first["commit"]
        yield (
            "publish again",
            f"{again['sent']:,} files, {'the same' if same else 'another'} commit",
            again["sent"] == 0 and same,
        )
        copy = scratch / "copy"
        expected = counts_of(manifest)
        asked = json.dumps({"name": name, "tag": first["tag"], "copy": str(copy), "splits": list(expected)})
        read = _run(["-m", "pipeline.report.rehearse.reading", asked], environment)
        check_files(copy, (*manifest.documents, *manifest.tokens))
        whole = read_manifest(copy).digest == manifest.digest
        yield "download the tag", f"{read['files']:,} files, those of the manifest", whole
        for way in (
            "load_dataset",
            "load_dataset, streaming",
            "streaming, stopped and resumed",
            "load_dataset of the copy",
        ):
            found = read[way]
            told = ", ".join(f"{split} {count:,}" for split, count in found.items())
            yield way, f"{told} rows{'' if found == expected else f', the manifest says {expected}'}", found == expected
        audited = _run(["-m", "pipeline.cli", "audit", f"hf://{name}@{first['tag']}", "--json"], environment)
        figures = audited["figures"]
        failed = [finding["check"] for finding in audited["findings"] if finding["status"] == "FAIL"]
        told = f"{figures['verified']:,} figures of the card re-verified, {figures['unverifiable']:,} cannot be"
        yield "audit", f"{told}{'; failed: ' + ', '.join(failed) if failed else ''}", not failed
    except GristmillError as error:
        yield "stopped", str(error), False


def _run(arguments: list[str], environment: dict[str, str]) -> Any:
    """The JSON that a Python process of our own prints last."""
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    if done.returncode and not done.stdout.startswith("{"):
        raise GristmillError(done.stderr.strip()[-2000:] or f"exit code {done.returncode}")
    return json.loads(done.stdout[done.stdout.index("{") :])
