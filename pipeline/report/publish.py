"""Put a release on the Hugging Face Hub, so that no reader ever meets half of one.

Contents are sent first, where nobody sees them; then, if they are many, the new files in commits of their own, which
the manifest that is there does not name; then, in one commit, whatever changes, what goes, the card and the manifest;
and last the tag. Whatever stops it, the same command goes on: what is there is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.core.asset import sha256_file
from pipeline.core.errors import GristmillError
from pipeline.core.manifest import FileDigest, Manifest, Record, read_manifest
from pipeline.report.hub import TYPE, Gated, Hub, Later, State, again
from pipeline.report.publish_plan import Plan, make_plan, refused_by_viewer, release_files
from pipeline.report.release import MANIFEST, check_files
from pipeline.report.secrets import find_secrets

if TYPE_CHECKING:
    pass

T = TypeVar("T")

SENT_AT_ONCE = 64
"""Contents that are sent between two looks of the clock of a person."""
COMMITTED_AT_ONCE = 500
"""New files above which some are committed before the last commit."""


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

    @property
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
    return again(lambda: _planned(release, hub, hub.state("main")))


def publish(release: Release, tell: Callable[[str], None] = lambda _: None) -> Published:
    """Publish it; GristmillError says what stands in the way, and what to do about it."""
    hub = Hub.of(release.repository)
    manifest = release.manifest
    check_files(release.folder, (*manifest.documents, *manifest.tokens))
    _refuse_secrets(release, manifest, hub)
    sent: set[str] = set()
    return again(lambda: _publish(release, manifest, hub, tell, sent))


def _publish(release: Release, manifest: Manifest, hub: Hub, tell: Callable[[str], None], sent: set[str]) -> Published:
    """One attempt, from what is there now; `sent` gathers what was sent by all of them."""
    hub.create(private=release.private, gated=release.gated)
    state = hub.state("main")
    if (told := _tagged(release, manifest, hub, state)) is not None:
        return told.model_copy(update={"sent": len(sent)})
    plan = _planned(release, hub, state)
    if not plan.is_done:
        if release.pull_request and (request := hub.request_with(manifest)):
            return Published(url=hub.url, tag=plan.tag, commit=state.head, sent=len(sent), request=request)
        tell(f"{plan.new_bytes:,} bytes to send")
        request = _commit(release, hub, plan, state, sent)
        if request:
            return Published(url=hub.url, tag=plan.tag, commit=state.head, sent=len(sent), request=request)
        state = hub.state("main")
        if not _planned(release, hub, state).is_done:
            raise Later("the repository has changed meanwhile")
    hub.tag(plan.tag, state.head)
    return Published(url=hub.url, tag=plan.tag, commit=state.head, sent=len(sent))


def _commit(release: Release, hub: Hub, plan: Plan, state: State, sent: set[str]) -> str | None:
    """Send and commit what the plan says; the address of the pull request where one was asked for."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    changes = {file.path: file.state for file in plan.files if file.state != "same"}
    added = [CommitOperationAdd(path, release.folder / path) for path in changes]
    for some in _pieces(added, SENT_AT_ONCE):
        hub.api.preupload_lfs_files(release.repository, some, repo_type=TYPE, free_memory=False)
        sent.update(operation.path_in_repo for operation in some)
    data = {file.path for file in (*release.manifest.documents, *release.manifest.tokens)}
    head = state.head
    if not release.pull_request and len(added) > COMMITTED_AT_ONCE:
        early = [one for one in added if changes[one.path_in_repo] == "new" and one.path_in_repo in data]
        for number, some in enumerate(_pieces(early, COMMITTED_AT_ONCE), 1):
            head = hub.commit(some, f"Data of {plan.tag}, part {number}", head).oid
        added = [one for one in added if one not in early]
    last = [*added, *(CommitOperationDelete(path) for path in plan.removed)]
    done = hub.commit(last, f"Release {plan.tag}", head, create_pr=release.pull_request)
    return str(done.pr_url) if release.pull_request else None


def _planned(release: Release, hub: Hub, state: State) -> Plan:
    manifest, folder = release.manifest, release.folder
    known = {file.path: file.sha256 for file in (*manifest.documents, *manifest.tokens)}
    paths = release_files(folder, manifest)
    digests = {path: known.get(path) or sha256_file(folder / path) for path in paths}
    sizes = {path: (folder / path).stat().st_size for path in paths}
    there = {
        path: name if path not in digests else _same(folder / path, digests[path], name)
        for path, name in state.files.items()
    }
    refused = refused_by_viewer(folder, manifest)
    before = hub.manifest(state.head) if MANIFEST in state.files else None
    return make_plan(release.repository, release.tag_name, sizes, digests, there, _data(before), refused)


def _same(path: Path, sha256: str, name: str) -> str:
    """The local sha256 where the hub's name of a file (sha256, or git's sha1 of a small one) is that of the same."""
    if len(name) == 64:
        return name
    from huggingface_hub.utils.sha import git_hash

    return sha256 if git_hash(path.read_bytes()) == name else name


def _tagged(release: Release, manifest: Manifest, hub: Hub, state: State) -> Published | None:
    """What was published under this tag before; GristmillError where that was something else."""
    commit = state.tags.get(release.tag_name)
    if commit is None:
        return None
    there = hub.manifest(commit)
    if there is None or there.digest != manifest.digest:
        raise GristmillError(
            f"{release.repository} has a tag {release.tag_name} of another release, and a release never changes: raise "
            "`version:` in the recipe and build again, or choose another name with --tag"
        )
    return Published(url=hub.url, tag=release.tag_name, commit=commit, sent=0)


def _refuse_secrets(release: Release, manifest: Manifest, hub: Hub) -> None:
    found = list(islice(find_secrets(release.folder, manifest, hub.api.token or None), 20))
    if found:
        lines = "\n".join(f"  - {one.file}, {one.place}: {one.kind}" for one in found)
        raise GristmillError(
            f"{release.folder}: there are keys in what would be published (20 at most are listed)\n{lines}\n"
            "Take the documents out with gristmill remove, or let the stage pii replace them, and export again"
        )


def _data(manifest: Manifest | None) -> tuple[FileDigest, ...]:
    return (*manifest.documents, *manifest.tokens) if manifest else ()


def _pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    waiting = iter(items)
    while some := list(islice(waiting, size)):
        yield some
