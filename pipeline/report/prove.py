"""Is this document in the corpus? A proof either way, which names no text, and can be checked with the root alone."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydantic import ValidationError

from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.manifest import read_manifest
from pipeline.core.merkle import leaves_of
from pipeline.core.proof import KINDS, Kind, Proof, check

MAX_BYTES = 1 << 20
"""A file that claims to be a proof may not be longer."""


def prove(corpus: Path, value: str, *, by: Kind | None = None) -> Proof:
    """That a document with this id, URL or text is there; or that none is, of these kinds or of the one asked for.

    The text is the whole text of a document, to the byte. A URL that is not there as it is written is looked for with
    either scheme and with and without a final slash, and all of these are proved absent. StoreError where the shards
    are not those that the manifest's root stands for.
    """
    manifest = read_manifest(corpus)
    wanted = [(kind, spelling) for kind in ([by] if by else KINDS) for spelling in _spellings(kind, value)]
    with leaves_of(corpus / file.path for file in manifest.documents) as leaves:
        proof = leaves.prove([(kind, hashlib.sha256(spelling.encode()).digest()) for kind, spelling in wanted])
    if proof.root != manifest.root:
        raise StoreError(
            f"{corpus}: the root of the documents is {proof.root}, the manifest says {manifest.root or 'none'}; "
            "build or download it again"
        )
    there = [claim for claim in proof.claims if claim.present]
    return proof.model_copy(update={"claims": tuple(there[:1])}) if there else proof


def read_proof(path: Path) -> Proof:
    """The proof in a file; GristmillError where it is none."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise GristmillError(f"{path}: more than {MAX_BYTES:,} bytes is no proof of gristmill prove")
        return Proof.model_validate_json(path.read_bytes())
    except OSError as error:
        raise GristmillError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise GristmillError(f"{path}: not a proof ({place}: {first['msg']}); make one with gristmill prove") from None


def verify(proof: Proof, *, root: str | None = None, of: str | None = None) -> str:
    """Check a proof, and say what it shows; GristmillError where it shows nothing.

    `root` is the root that a manifest or a card names. `of` is the id, URL or text in question: the proof has only its
    sha256, and may be about another.
    """
    check(proof, root)
    claims = proof.claims
    if of is not None:
        asked = {(kind, hashlib.sha256(one.encode()).hexdigest()) for kind in KINDS for one in _spellings(kind, of)}
        claims = tuple(claim for claim in claims if (claim.kind, claim.sha256) in asked)
        if not claims:
            raise GristmillError("the proof holds, and it is about something else than this id, URL or text")
    told = [f"{'there is a' if c.present else 'no'} document with the {c.kind} of sha256 {c.sha256}" for c in claims]
    unbound = "" if root else "\nCompare the root with that of the release: --root, or --corpus."
    lines = "\n".join(f"  {sentence}" for sentence in told)
    return f"The proof holds. In the corpus with the root {proof.root}:\n{lines}{unbound}"


def _spellings(kind: Kind, value: str) -> list[str]:
    """What the value may be written as; itself first."""
    if kind != "url" or not re.match(r"https?://", value):
        return [value]
    bare = re.sub(r"^https?://", "", value).partition("#")[0].rstrip("/")
    others = [f"{scheme}{bare}{slash}" for scheme in ("http://", "https://") for slash in ("", "/")]
    return list(dict.fromkeys([value, *others]))
