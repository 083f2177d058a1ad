"""One file of a repository on the Hugging Face Hub, at a fixed commit."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipeline.core.asset import current, known_digest
from pipeline.core.errors import GristmillError


def find(
    repo: str, revision: str, file: str, sha256: str | None = None, *, kind: Literal["model", "dataset"] = "model"
) -> Path:
    """The file in the cache, downloaded if need be; GristmillError where the Hub does not give it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    place = current()
    folder = place.cache / "hub"
    try:
        found = Path(
            hf_hub_download(
                repo, file, repo_type=kind, revision=revision, cache_dir=folder, local_files_only=place.offline
            )
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise GristmillError(
            f"{repo}@{revision[:12]}: no {file} from the Hub ({error}); "
            "is it public, or HF_TOKEN set, and the run not offline?"
        ) from error
    if sha256 not in (None, digest := known_digest(found)):
        raise GristmillError(f"{repo}@{revision[:12]}: sha256 of {file} is {digest}, the recipe wants {sha256}")
    return found
