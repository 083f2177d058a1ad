"""Where a corpus is: a folder on this machine, or a dataset of a Hub, downloaded with its client into the cache."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.core.errors import SourceError, StoreError
from pipeline.core.mirror import located

_REPO = re.compile(r"hf://(?:datasets/)?(\w[\w.-]*/\w[\w.-]*?)(?:@([\w./-]+))?/?")


def folder(name: str) -> Path:
    """The folder with the files; `hf://user/name@revision` is downloaded from the Hub that HF_ENDPOINT names."""
    if not name.startswith("hf://"):
        path = located(name)
        if not path.is_dir():
            raise StoreError(f"{name}: there is no such folder; a dataset of the Hub is hf://user/name")
        return path
    named = _REPO.fullmatch(name)
    if not named:
        raise StoreError(f"{name}: not hf://user/name or hf://user/name@revision")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(named[1], repo_type="dataset", revision=named[2]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise SourceError(name, f"cannot be downloaded: {' '.join(str(error).split())}") from None
