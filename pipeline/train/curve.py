"""Losses and scores of a run, as lines of JSON and as a picture; nothing that differs from run to run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import MissingBackend
from pipeline.core.manifest import Record

CURVE, PICTURE = "curve.jsonl", "curve.svg"


class Point(Record):
    """After a step: the loss of its rows in nats a token, the norm of its gradient, the rate that it went by.

    Where held-out texts were scored, `bits_per_byte` of each.
    """

    step: int
    loss: float
    norm: float
    rate: float
    bits_per_byte: dict[str, float] = {}


class Curve:
    """The points of a run; with a folder, written as they come. What lies there of steps after `step` is forgotten."""

    def __init__(self, folder: Path | None, step: int = 0) -> None:
        self.path = folder / CURVE if folder else None
        self.points = [point for point in read_curve(self.path) if point.step <= step] if self.path and step else []
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write(self.points, "w")

    def add(self, points: Iterable[Point]) -> None:
        """More of them."""
        new = list(points)
        self.points += new
        self._write(new, "a")

    def _write(self, points: Iterable[Point], mode: str) -> None:
        if self.path:
            with self.path.open(mode, encoding="utf-8") as stream:
                stream.writelines(f"{json.dumps(point.model_dump(), sort_keys=True)}\n" for point in points)


def read_curve(path: Path) -> list[Point]:
    """The points in a file; none where it is not there."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Point.model_validate_json(line) for line in lines]


def plot(curves: Mapping[str, Iterable[Point]], path: Path) -> None:
    """Loss and, where there are any, scores over steps, as .svg, .png or .pdf; MissingBackend without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingBackend("matplotlib", "pictures of curves", "pip install 'gristmill[train]'") from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="step", ylabel="loss (nats a token)")
    beside: Any = None
    for name, curve in curves.items():
        points = list(curve)
        axes.plot([point.step for point in points], [point.loss for point in points], label=name)
        scores: dict[str, list[tuple[int, float]]] = {}
        for point in points:
            for text, value in point.bits_per_byte.items():
                scores.setdefault(text, []).append((point.step, value))
        for text, values in scores.items():
            beside = beside or axes.twinx()
            beside.plot(*zip(*values, strict=True), "o--", label=f"{text}, bits a byte")
    if beside:
        beside.set(ylabel="held-out texts (bits a byte)")
    figure.legend(loc="outside upper center", ncols=3)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
