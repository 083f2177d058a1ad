"""The few things that publishing asks of the Hugging Face Hub, tried again where the trouble may pass."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pipeline.core.errors import GristmillError, UsageError
from pipeline.core.manifest import Manifest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
Gated = Literal["auto", "manual"]

ATTEMPTS = 5
WAIT = 0.5
"""Seconds before the second attempt; each further wait is twice as long."""
TRANSIENT = (412, 429, 500, 502, 503, 504)
"""Answers after which the same is tried again, from a fresh look at what is there."""
TYPE = "dataset"


@dataclass(frozen=True)
class State:
    """A branch as it is now: its commit, each file with the hub's name of its content, and all tags."""

    head: str
    files: dict[str, str]
    tags: dict[str, str]


@dataclass(frozen=True)
class Hub:
    """The few things that are asked of the hub."""

    api: HfApi
    repository: str

    @classmethod
    def of(cls, repository: str) -> Hub:
        """With the token that huggingface_hub finds."""
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.utils import disable_progress_bars

        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
            raise UsageError(f"{repository!r} is no name of a dataset: write it as user/name")
        disable_progress_bars()
        endpoint = os.environ.get("HF_ENDPOINT") or None
        return cls(HfApi(endpoint, token=get_token(), library_name="gristmill"), repository)

    @property
    def url(self) -> str:
        """Of the dataset."""
        return f"{self.api.endpoint}/datasets/{self.repository}"

    def create(self, *, private: bool, gated: Gated | None) -> None:
        """Make the repository unless it is there, as private and gated as asked."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            info = self.api.dataset_info(self.repository)
        except RepositoryNotFoundError:
            self.api.create_repo(self.repository, repo_type=TYPE, private=private, exist_ok=True)
            info = self.api.dataset_info(self.repository)
        if private and not info.private:
            raise GristmillError(
                f"{self.url} is public already: make it private in its settings, or leave --private out"
            )
        if gated and info.gated != gated:
            self.api.update_repo_settings(self.repository, repo_type=TYPE, gated=gated)

    def state(self, revision: str) -> State:
        """What is there; nothing where there is no repository."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            head = self.api.dataset_info(self.repository, revision=revision).sha or ""
        except RepositoryNotFoundError:
            return State("", {}, {})
        tree = self.api.list_repo_tree(self.repository, repo_type=TYPE, revision=head, recursive=True)
        entries: list[Any] = [entry for entry in tree if hasattr(entry, "blob_id")]
        files = {entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id for entry in entries}
        refs = self.api.list_repo_refs(self.repository, repo_type=TYPE)
        return State(head, files, {ref.name: ref.target_commit for ref in refs.tags})

    def manifest(self, commit: str) -> Manifest | None:
        """The manifest at a commit; None where there is none that this version reads."""
        from huggingface_hub.errors import EntryNotFoundError

        try:
            path = self.api.hf_hub_download(self.repository, "manifest.json", repo_type=TYPE, revision=commit)
            return Manifest.model_validate_json(Path(path).read_bytes())
        except (EntryNotFoundError, ValueError):
            return None

    def requests(self) -> Iterator[int]:
        """The numbers of open pull requests, the latest first."""
        found = self.api.get_repo_discussions(
            self.repository, repo_type=TYPE, discussion_type="pull_request", discussion_status="open"
        )
        yield from sorted((request.num for request in found), reverse=True)

    def commit(self, operations: Sequence[Any], title: str, parent: str) -> None:
        """One commit on `main`; the hub refuses it where `main` is not at `parent` any more."""
        self.api.create_commit(self.repository, operations, commit_message=title, repo_type=TYPE, parent_commit=parent)

    def propose(self, pieces: Sequence[Sequence[Any]], title: str, parent: str) -> int:
        """The number of a new pull request on `parent`, made of commits of these pieces."""
        first = self.api.create_commit(
            self.repository, pieces[0], commit_message=title, repo_type=TYPE, parent_commit=parent, create_pr=True
        )
        for number, piece in enumerate(pieces[1:], 2):
            self.api.create_commit(
                self.repository,
                piece,
                commit_message=f"{title}, part {number}",
                repo_type=TYPE,
                revision=first.pr_revision,
            )
        return int(first.pr_num or 0)

    def merge(self, number: int) -> None:
        """Make a pull request what `main` is."""
        self.api.merge_pull_request(self.repository, number, repo_type=TYPE)

    def tag(self, name: str, commit: str) -> None:
        """Name a commit."""
        self.api.create_tag(self.repository, tag=name, revision=commit, repo_type=TYPE, exist_ok=True)


class Later(Exception):
    """Not now; the next attempt may do it."""


def again(attempt: Callable[[], T]) -> T:
    """The result of the first attempt that meets no passing trouble; after `ATTEMPTS` of them it is told."""
    trouble = ""
    for number in range(ATTEMPTS):
        if number:
            time.sleep(WAIT * 2 ** (number - 1))
        try:
            with _understood():
                return attempt()
        except Later as later:
            trouble = str(later)
    raise GristmillError(
        f"the hub did not take it in {ATTEMPTS} attempts ({trouble}). No reader sees half of a release; run the same "
        "command again later, and it goes on where it stopped"
    )


@contextmanager
def _understood() -> Iterator[None]:
    """Turn what huggingface_hub raises into `Later`, or into an error that says what to do."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPError, OSError, RuntimeError, ValueError) as error:
        known = (HfHubHTTPError, httpx2.TransportError)
        cause = next((one for one in (error, error.__cause__) if isinstance(one, known)), error)
        text = _without_tokens((str(cause).strip() or repr(cause)).splitlines()[0])
        status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
        if status in TRANSIENT or isinstance(cause, httpx2.TransportError):
            raise Later(text) from error
        if status in (401, 403):
            raise GristmillError(
                f"the hub refuses ({text}): use a token that may write there, by `hf auth login` or in HF_TOKEN"
            ) from error
        raise GristmillError(f"publishing stopped ({text}); no reader sees half of a release") from error


def _without_tokens(text: str) -> str:
    return re.sub(r"hf_[A-Za-z0-9_]+", "hf_…", text)
