"""What proves that a document is, or is not, among those that a root stands for; nothing but sha256 is needed.

The tree is that of `core/merkle.py`. A leaf and its path prove that it is there; two neighbours, one before and one
behind, that nothing is between them.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.errors import GristmillError
from pipeline.core.manifest import Record

Kind = Literal["id", "url", "text"]
KINDS: tuple[Kind, ...] = ("id", "url", "text")

Hex = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A sha256."""


class Leaf(Record):
    """An entry at its place in the tree; `path` are the hashes beside its way up to the root, lowest first. Hex."""

    index: int
    kind: Kind
    sha256: Hex
    document: Hex
    path: tuple[Hex, ...] = Field(max_length=64)

    @property
    def key(self) -> bytes:
        """What its entry begins with: kind and sha256."""
        return key_of(self.kind, bytes.fromhex(self.sha256))


class Claim(Record):
    """That a value with this sha256 is there (one leaf), or is not (its neighbours: two, one at either end)."""

    kind: Kind
    sha256: Hex
    present: bool
    leaves: tuple[Leaf, ...] = Field(max_length=2)


class Proof(Record):
    """What can be checked against the root of a corpus, without its documents; `leaves` is the size of its tree."""

    root: Hex
    leaves: int = Field(ge=0)
    claims: tuple[Claim, ...] = Field(max_length=64)


def check(proof: Proof, root: str | None = None) -> None:
    """GristmillError says where a proof does not hold; `root` is the one it should be about."""
    if root is not None and root != proof.root:
        raise GristmillError(f"the proof is about a corpus with the root {proof.root}, not {root}")
    if not proof.claims:
        raise GristmillError("the proof claims nothing")
    for claim in proof.claims:
        _check_claim(proof, claim)


def _check_claim(proof: Proof, claim: Claim) -> None:
    name = f"{claim.kind} with sha256 {claim.sha256}"
    key = key_of(claim.kind, bytes.fromhex(claim.sha256))
    for leaf in claim.leaves:
        if _climb(leaf, proof.leaves) != proof.root:
            raise GristmillError(f"{name}: leaf {leaf.index} does not lead to the root {proof.root}")
    if claim.present:
        if [leaf.key for leaf in claim.leaves] != [key]:
            raise GristmillError(f"{name}: said to be there, and the proof shows another document")
        return
    before = tuple(leaf for leaf in claim.leaves[:1] if leaf.key < key)
    behind = tuple(leaf for leaf in claim.leaves[-1:] if leaf.key > key)
    at = before[0].index + 1 if before else 0
    closed = at == (behind[0].index if behind else proof.leaves)
    bare = not proof.leaves and proof.root != seal(0, EMPTY).hex()
    if claim.leaves != before + behind or not closed or bare:
        raise GristmillError(f"{name}: said not to be there, and the proof does not show its two neighbours")


def _climb(leaf: Leaf, count: int) -> str | None:
    """The root that a leaf and its path lead to; None where the path has not the length of its place."""
    if not 0 <= leaf.index < count:
        return None
    node = hash_leaf(leaf.key + bytes.fromhex(leaf.document))
    at, last = leaf.index, count - 1
    for step in map(bytes.fromhex, leaf.path):
        while at == last and not at % 2 and last:
            at, last = at // 2, last // 2
        if not last:
            return None
        node = hash_node(step, node) if at % 2 else hash_node(node, step)
        at, last = at // 2, last // 2
    while at == last and not at % 2 and last:
        at, last = at // 2, last // 2
    return None if last else seal(count, node).hex()


def key_of(kind: Kind, digest: bytes) -> bytes:
    """What entries of a value of this kind and sha256 begin with."""
    return bytes([KINDS.index(kind) + 1]) + digest


def hash_leaf(entry: bytes) -> bytes:
    """H(0 | entry)."""
    return hashlib.sha256(b"\0" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """H(1 | left | right)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def seal(count: int, node: bytes) -> bytes:
    """H(3 | number of leaves | node): the root."""
    return hashlib.sha256(b"\3" + count.to_bytes(8, "big") + node).digest()


EMPTY = hashlib.sha256(b"").digest()
"""The node over no leaves."""
