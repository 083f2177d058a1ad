"""What is installed here, what works, and what to type for the rest."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `state` is ok, absent (optional) or broken."""

    name: str
    state: str
    detail: str


REQUIRED = ("pyarrow", "polars", "datasets", "datasketch", "fasttext-modern", "fastokens", "langdetect", "tokenizers")
OPTIONAL = {
    "torch": ("the reference trainer", "pip install 'gristmill[train]'"),
    "numba-cuda": ("tokenizing on a GPU", "pip install 'gristmill[cuda]'"),
    "sentence-transformers": ("probes on sentence embeddings", "pip install 'gristmill[embeddings]'"),
    "kenlm": ("the language models of CCNet", "pip install 'kenlm>=0.3,<1'"),
    "ray": ("builds on a cluster", "pip install 'gristmill[ray]'"),
    "s3fs": ("sources on s3://", "pip install 'gristmill[s3]'"),
    "gcsfs": ("sources on gs://", "pip install 'gristmill[gcs]'"),
}


def examine() -> list[Finding]:
    """Look at Python, packages, backends and devices; every backend is tried, not only found."""
    findings = [Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")]
    for name in REQUIRED:
        found = _version(name)
        detail = found or "missing: pip install gristmill again"
        findings.append(Finding(name, "ok" if found else "broken", detail))
    findings += [_try(name, check) for name, check in _CHECKS.items()]
    for name, (purpose, remedy) in OPTIONAL.items():
        found = _version(name)
        findings.append(Finding(name, "ok" if found else "absent", found or f"only for {purpose}: {remedy}"))
    return [*findings, _devices()]


def as_text(findings: list[Finding]) -> str:
    """One aligned line a finding."""
    width = max(len(finding.name) for finding in findings)
    return "\n".join(f"{finding.state:7} {finding.name:{width}}  {finding.detail}" for finding in findings)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _try(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", check())
    except Exception as error:
        return Finding(name, "broken", " ".join(str(error).split()))


def _language() -> str:
    from pipeline.backends.language import find_model, identify

    labels, _ = identify(["这是一个句子。"], model=find_model().path)
    if labels[0] != "zh":
        raise RuntimeError(f"a Chinese sentence was called {labels[0]!r}")
    return "identifies a Chinese sentence"


def _encodings() -> str:
    from pipeline.backends.encoding import decode

    text, name = decode("中文".encode("gb18030"), "text/html; charset=gb2312")
    if text != "中文":
        raise RuntimeError("gb18030 is not decoded")
    return f"decodes {name}"


def _devices() -> Finding:
    if _version("torch") is None:
        return Finding("devices", "absent", "CPU only: torch is not installed")
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        return Finding("devices", "ok", f"cpu, cuda ({torch.cuda.get_device_name(0)})")
    return Finding("devices", "ok", "cpu (no CUDA device)")


_CHECKS = {"language model": _language, "encodings": _encodings}
