"""What documents are about, without a model: TF-IDF of their words and spherical k-means, the same on every machine.

A description and no classification: the number of clusters is chosen, not found, and a document belongs to exactly one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOST_WORDS = 4000
LEAST_DOCUMENTS, MOST_SHARE = 5, 0.3
"""A word tells nothing of a topic in fewer documents than this, or in a larger share of them."""

ROUNDS = 30


class Topic(NamedTuple):
    """A cluster: how many of the documents are in it, and the words that set it apart."""

    documents: int
    words: tuple[str, ...]


def topics(documents: Sequence[Sequence[str]], n_topics: int, n_words: int = 8) -> list[Topic]:
    """The clusters of documents, given as their words, the largest first; empty where there is too little to go by."""
    counts = [Counter(words) for words in documents]
    met = Counter(word for count in counts for word in count)
    fit = [(n, w) for w, n in met.items() if LEAST_DOCUMENTS <= n <= MOST_SHARE * len(documents)]
    chosen = sorted(word for _, word in sorted(fit, key=lambda pair: (-pair[0], pair[1]))[:MOST_WORDS])
    if len(chosen) < 2 * n_topics or len(documents) < 2 * n_topics:
        return []
    place = {word: at for at, word in enumerate(chosen)}
    weights = np.zeros((len(documents), len(chosen)), np.float32)
    for row, count in enumerate(counts):
        for word, n in count.items():
            if word in place:
                weights[row, place[word]] = 1 + np.log(n)
    weights *= np.log(len(documents) / np.array([met[word] for word in chosen], np.float32))
    length = np.linalg.norm(weights, axis=1, keepdims=True)
    told = weights[length[:, 0] > 0] / length[length[:, 0] > 0]
    of = _clusters(told, n_topics)
    overall = told.mean(axis=0)
    found = []
    for number in np.unique(of).tolist():
        apart = told[of == number].mean(axis=0) - overall
        best = sorted(range(len(chosen)), key=lambda at: (-round(float(apart[at]), 6), chosen[at]))[:n_words]
        found.append(Topic(int((of == number).sum()), tuple(chosen[at] for at in best)))
    return sorted(found, key=lambda topic: (-topic.documents, topic.words))


def _clusters(told: np.ndarray, n_topics: int) -> np.ndarray:
    """The cluster of each unit vector; starts are spread by k-means++ with a fixed seed."""
    chance = np.random.default_rng(0)
    centres = told[[int(chance.integers(len(told)))]]
    while len(centres) < n_topics:
        far = np.maximum(1 - (told @ centres.T).max(axis=1).astype(np.float64), 0)
        drawn = np.searchsorted(np.cumsum(far), chance.random() * far.sum()) if far.sum() else 0
        centres = np.vstack([centres, told[min(int(drawn), len(told) - 1)]])
    of = np.argmax(told @ centres.T, axis=1)
    for _ in range(ROUNDS):
        sums = np.stack([told[of == number].sum(axis=0) for number in range(n_topics)])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
        now = np.argmax(told @ centres.T, axis=1)
        if (now == of).all():
            break
        of = now
    return of
