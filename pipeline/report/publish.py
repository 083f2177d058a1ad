"""Put a release on the Hugging Face Hub, so that no reader ever meets half of one.

Contents are sent first, where nobody sees them; then one commit adds, changes and removes files, card and manifest
among them; then the tag is set. More files than a commit bears go into a pull request piece by piece, card and manifest
last, and are merged all at once. Whatever stops it, the same command goes on: what is there is not sent again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pipeline.core.asset import sha256_file
from pipeline.core.errors import GristmillError
from pipeline.core.manifest import Manifest, Record, read_manifest
from pipeline.report.hub import TYPE, Gated, Hub, Later, State, again
from pipeline.report.publish_plan import Plan, make_plan, refused_by_viewer, release_files
from pipeline.report.release import MANIFEST, check_files
from pipeline.report.secrets import find_secrets

T = TypeVar("T")

SENT_AT_ONCE = 64
"""Contents that are sent before it is asked which of the next are there."""
COMMITTED_AT_ONCE = 1000
"""Files above which a commit is made in pieces, in a pull request."""


class Published(Record):
    """What was done: `url` is that of the dataset, `commit` what the tag points to; `request` is a pull request."""

    url: str
    tag: str
    commit: str
    sent: int
    request: str | None = None

    @property
    def message(self) -> str:
        """For people."""
        if self.request:
            return (
                f"{self.sent:,} files are proposed in {self.request}; after it is merged, the same command sets the tag"
            )
        done = f"{self.sent:,} files sent" if self.sent else "Nothing to do: all files were there"
        return f"{done}; {self.tag} of {self.url} is commit {self.commit}"


@dataclass(frozen=True)
class Release:
    """A folder in release form, and where it shall go."""

    folder: Path
    repository: str
    tag: str | None = None
    private: bool = False
    gated: Gated | None = None
    pull_request: bool = False

    @cached_property
    def manifest(self) -> Manifest:
        """What the release says of itself."""
        return read_manifest(self.folder)

    @property
    def tag_name(self) -> str:
        """The tag asked for, or `v` and the recipe's version."""
        return self.tag or f"v{self.manifest.recipe.get('version', '0')}"


def plan_release(release: Release) -> Plan:
    """What publishing would do. Nothing is sent; a repository that is not there is taken for an empty one."""
    hub = Hub.of(release.repository)
    plan = again(lambda: _planned(release, hub.state("main")))
    return plan.model_copy(update={"refused": refused_by_viewer(release.folder, release.manifest)})


def publish(release: Release, tell: Callable[[str], None] = lambda _: None) -> Published:
    """Publish it; GristmillError says what stands in the way, and what to do about it."""
    hub = Hub.of(release.repository)
    check_files(release.folder, (*release.manifest.documents, *release.manifest.tokens))
    _refuse_secrets(release, hub)
    sent: set[str] = set()
    return again(lambda: _publish(release, hub, tell, sent))


def _publish(release: Release, hub: Hub, tell: Callable[[str], None], sent: set[str]) -> Published:
    """One attempt, from what is there now; `sent` gathers what was sent by all of them."""
    hub.create(private=release.private, gated=release.gated)
    state = hub.state("main")
    plan = _planned(release, state)
    tagged = _tagged(release, hub, state)
    if tagged and state.head != tagged and not _is_ours(release, hub, state):
        return Published(url=hub.url, tag=plan.tag, commit=tagged, sent=len(sent))
    if not plan.is_done:
        tell(f"{plan.new_bytes:,} bytes to send")
        request = _commit(release, hub, plan, state, sent)
        if request:
            return Published(url=hub.url, tag=plan.tag, commit=state.head, sent=len(sent), request=request)
        state = hub.state("main")
        if not _planned(release, state).is_done:
            raise Later("the repository has changed meanwhile")
    if not tagged:
        hub.tag(plan.tag, state.head)
    return Published(url=hub.url, tag=plan.tag, commit=tagged or state.head, sent=len(sent))


def _commit(release: Release, hub: Hub, plan: Plan, state: State, sent: set[str]) -> str | None:
    """Send and commit what the plan says; the address of a pull request where that is what was asked for."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    changes = len(plan.removed) + sum(file.state != "same" for file in plan.files)
    proposed = release.pull_request or changes > COMMITTED_AT_ONCE
    request = _request_with(release, hub) if proposed else None
    if request is None:
        changed = [file.path for file in plan.files if file.state != "same"]
        added = [CommitOperationAdd(path, os.fspath(release.folder / path)) for path in changed]
        for some in _pieces(added, SENT_AT_ONCE):
            hub.api.preupload_lfs_files(release.repository, some, repo_type=TYPE, free_memory=False)
            sent.update(operation.path_in_repo for operation in some)
        operations = [*(CommitOperationDelete(path) for path in plan.removed), *added]
        title = f"Release {plan.tag}"
        if not proposed:
            hub.commit(operations, title, state.head)
            return None
        request = hub.propose(list(_pieces(operations, COMMITTED_AT_ONCE)), title, state.head)
    if release.pull_request:
        return f"{hub.url}/discussions/{request}"
    hub.merge(request)
    return None


def _request_with(release: Release, hub: Hub) -> int | None:
    """An open pull request that is this very release: one that was made before something stopped."""
    for number in hub.requests():
        if _planned(release, hub.state(f"refs/pr/{number}")).is_done:
            return number
    return None


def _planned(release: Release, state: State) -> Plan:
    manifest, folder = release.manifest, release.folder
    known = {file.path: file.sha256 for file in (*manifest.documents, *manifest.tokens)}
    paths = release_files(folder, manifest)
    digests = {path: known.get(path) or sha256_file(folder / path) for path in paths}
    sizes = {path: (folder / path).stat().st_size for path in paths}
    there = {
        path: name if path not in digests else _same(folder / path, digests[path], name)
        for path, name in state.files.items()
    }
    plan = make_plan(release.repository, release.tag_name, sizes, digests, there)
    if plan.removed and MANIFEST not in state.files:
        raise GristmillError(
            f"{release.repository} has {plan.removed[0]}, which a reader would take for a part of this release, and no "
            "manifest that says whose it is: publish under another name, or remove it there"
        )
    return plan


def _same(path: Path, sha256: str, name: str) -> str:
    """The local sha256 where the hub's name of a file (sha256, or git's sha1 of a small one) is that of the same."""
    if len(name) == 64:
        return name
    from huggingface_hub.utils.sha import git_hash

    return sha256 if git_hash(path.read_bytes()) == name else name


def _tagged(release: Release, hub: Hub, state: State) -> str | None:
    """The commit of the tag, where it is this release; GristmillError where it is another."""
    commit = state.tags.get(release.tag_name)
    there = hub.manifest(commit) if commit else None
    if commit and (there is None or there.digest != release.manifest.digest):
        raise GristmillError(
            f"{release.repository} has a tag {release.tag_name} of another release, and a release never changes: raise "
            "`version:` in the recipe and build again, or choose another name with --tag"
        )
    return commit


def _is_ours(release: Release, hub: Hub, state: State) -> bool:
    """Whether `main` is this release, perhaps with another card; a later one is left as it is."""
    there = hub.manifest(state.head)
    return there is not None and there.digest == release.manifest.digest


def _refuse_secrets(release: Release, hub: Hub) -> None:
    found = list(islice(find_secrets(release.folder, release.manifest, hub.api.token or None), 20))
    if found:
        lines = "\n".join(f"  - {one.file}, {one.place}: {one.kind}" for one in found)
        raise GristmillError(
            f"{release.folder}: there are keys in what would be published (20 at most are listed)\n{lines}\n"
            "Take the documents out with gristmill remove, or let the stage pii replace them, and export again"
        )


def _pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    waiting = iter(items)
    while some := list(islice(waiting, size)):
        yield some
