"""A signed audit: an in-toto statement about manifest and card in a DSSE envelope, with an Ed25519 key in PEM.

`openssl genpkey -algorithm ed25519 -out key.pem` makes a key, `openssl pkey -in key.pem -pubout` its public half.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from pipeline.core.asset import sha256_file
from pipeline.core.errors import GristmillError, MissingBackend, StoreError
from pipeline.core.shards import write_text
from pipeline.report.findings import Audit

FILE = "audit.dsse.json"

_SUBJECTS = ("manifest.json", "README.md", "recipe.yaml", "audit.json")
_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
_MOST = 1 << 20


def sign(audit: Audit, folder: Path, key: Path) -> Path:
    """Sign what the audit says of the files in a folder; returns the envelope's path."""
    payload = json.dumps(_statement(audit, folder), sort_keys=True, ensure_ascii=False).encode()
    private = _load(key, private=True)
    envelope = {
        "payloadType": _TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(private.sign(_encoded(payload))).decode()}],
    }
    write_text(folder / FILE, json.dumps(envelope, indent=1) + "\n")
    return folder / FILE


def verify(folder: Path, key: Path) -> str:
    """The signed result, PASSED or FAILED; StoreError where signature or files are not what was signed."""
    path = folder / FILE
    public = _load(key, private=False)
    try:
        envelope = json.loads(path.read_bytes()[:_MOST])
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
        statement = json.loads(payload)
        subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
        result = str(statement["predicate"]["result"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path.name}: not a signed audit ({error})") from None
    if envelope.get("payloadType") != _TYPE or not any(_valid(public, one, payload) for one in signatures):
        raise StoreError(f"{path.name}: the signature is not by the key given")
    for name in ("manifest.json", "README.md"):
        if name not in subjects:
            raise StoreError(f"{path.name}: {name} was not signed")
    for name, sha256 in subjects.items():
        if name not in _SUBJECTS or not (folder / name).is_file() or sha256_file(folder / name) != sha256:
            raise StoreError(f"{name} is not what was signed")
    return result


def _statement(audit: Audit, folder: Path) -> dict[str, Any]:
    there = [name for name in _SUBJECTS if (folder / name).is_file()]
    named = {status: [f.check for f in audit.findings if f.status == status] for status in ("PASS", "FAIL")}
    unknown = [f.check for f in audit.findings if f.status == "CANNOT VERIFY"]
    return {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha256_file(folder / name)}} for name in there],
        "predicateType": _PREDICATE,
        "predicate": {
            "result": "FAILED" if named["FAIL"] else "PASSED",
            "configuration": [
                {"name": "gristmill audit", "annotations": {"seed": audit.seed, "version": audit.gristmill}}
            ],
            "passedTests": named["PASS"],
            "warnedTests": unknown,
            "failedTests": named["FAIL"],
        },
    }


def _encoded(payload: bytes) -> bytes:
    """What DSSE signs: type and payload with their lengths."""
    return b"DSSEv1 %d %s %d %s" % (len(_TYPE), _TYPE.encode(), len(payload), payload)


def _valid(public: Any, signature: bytes, payload: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, _encoded(payload))
    except InvalidSignature:
        return False
    return True


def _load(path: Path, *, private: bool) -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
    except ImportError:
        raise MissingBackend("cryptography", "signing", "pip install 'gristmill[sign]'") from None
    kind = "private" if private else "public"
    try:
        content = path.read_bytes()
        key = load_pem_private_key(content, None) if private else load_pem_public_key(content)
    except (OSError, ValueError, TypeError) as error:
        raise GristmillError(f"{path}: not a {kind} key in PEM without a password ({error})") from None
    if not isinstance(key, Ed25519PrivateKey if private else Ed25519PublicKey):
        raise GristmillError(f"{path}: not an Ed25519 key; `openssl genpkey -algorithm ed25519` makes one")
    return key
