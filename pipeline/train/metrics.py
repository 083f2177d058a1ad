"""How answers compare with the truth: accuracy, and for each label precision, recall and F1; BLEU of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.core.errors import MissingBackend
from pipeline.core.manifest import Record


class Label(Record):
    """Of `support` that are so, `found` were said to be, as were others, `said` in all."""

    support: int
    said: int
    found: int

    @property
    def precision(self) -> float:
        """Of what was said to be so, the share that is; 0 where nothing was."""
        return self.found / self.said if self.said else 0.0

    @property
    def recall(self) -> float:
        """Of what is so, the share that was found; 0 where nothing is."""
        return self.found / self.support if self.support else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.found / (self.said + self.support) if self.said + self.support else 0.0


class Metrics(Record):
    """Of answers: each label, and how often one was said where another is true (`truth/said`).

    `ngram` are those of the baseline for the same questions, where there is one.
    """

    labels: dict[str, Label]
    confused: dict[str, int]
    ngram: Metrics | None = None

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        n = sum(label.support for label in self.labels.values())
        return sum(label.found for label in self.labels.values()) / n if n else 0.0

    @property
    def majority(self) -> float:
        """The accuracy of always saying the most frequent label."""
        counts = [label.support for label in self.labels.values()]
        return max(counts) / sum(counts) if sum(counts) else 0.0

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels."""
        return sum(label.f1 for label in self.labels.values()) / len(self.labels) if self.labels else 0.0


def compare(truth: Sequence[str], said: Sequence[str]) -> Metrics:
    """The metrics of answers in the order of the truth."""
    pairs = Counter(zip(truth, said, strict=True))
    supports, saids = Counter(truth), Counter(said)
    labels = {
        name: Label(support=supports[name], said=saids[name], found=pairs[name, name])
        for name in sorted({*supports, *saids})
    }
    confused = {f"{true}/{wrong}": n for (true, wrong), n in sorted(pairs.items()) if true != wrong}
    return Metrics(labels=labels, confused=confused)


def bleu(said: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of a corpus (Papineni et al. 2002), 0 to 100, as sacrebleu computes it; MissingBackend without."""
    try:
        from sacrebleu import corpus_bleu
    except ImportError:
        raise MissingBackend("sacrebleu", "BLEU", "pip install 'gristmill[train]'") from None
    return float(corpus_bleu(list(said), [list(references)]).score)
