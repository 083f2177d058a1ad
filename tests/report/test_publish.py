"""Publishing by the real client to the rehearsal's hub: complete, or nothing that a reader could take for a release."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import RepositoryNotFoundError

from pipeline.core.errors import GristmillError
from pipeline.core.manifest import Manifest, read_manifest
from pipeline.report import hub as hubs
from pipeline.report import publish as publishing
from pipeline.report.publish import Release, plan_release, publish
from pipeline.report.publish_plan import as_text, with_chunks
from pipeline.report.rehearse.repository import MAIN, Commit, Repository
from pipeline.report.rehearse.server import Fault, Rehearsal, serve

# huggingface_hub sends contents in a way that httpx2 would like to be spelt otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")

NAME = "miller/small"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    with serve(tmp_path / "hub") as rehearsal:
        for name, value in (rehearsal.environment | {"HF_HOME": str(tmp_path / "home")}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(hubs, "WAIT", 0.01)
        yield rehearsal


def repository(hub: Rehearsal) -> Repository:
    found = hub.answers.shelf.get(NAME)
    assert found
    return found


def manifest_of(hub: Rehearsal, commit: Commit) -> Manifest | None:
    for file in commit.files:
        if file.path == "manifest.json":
            return Manifest.model_validate_json(hub.answers.shelf.content(file.sha256).read_bytes())
    return None


def whole(hub: Rehearsal, commit: Commit) -> bool:
    """It has no data at all, or exactly the files that its manifest names, and a card."""
    data = {file.path: file.sha256 for file in commit.files if file.path.startswith(("documents/", "tokens/"))}
    manifest = manifest_of(hub, commit)
    card = any(file.path == "README.md" for file in commit.files)
    if manifest is None:
        return not data and not card
    return card and data == {file.path: file.sha256 for file in (*manifest.documents, *manifest.tokens)}


def never_half(hub: Rehearsal) -> None:
    """Whatever `main` or a tag ever was, a reader has seen it whole; what led to a merged request was never `main`."""
    found = hub.answers.shelf.get(NAME)
    for oid in found.history if found else ():
        assert whole(hub, found.commits[oid]), found.commits[oid].title


def released(hub: Rehearsal, tag: str, folder: Path) -> None:
    """The tag is exactly the release in a folder, and so is `main`."""
    kept = repository(hub)
    assert kept.tags[tag] == kept.branches[MAIN]
    commit = kept.commits[kept.tags[tag]]
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {file.path for file in commit.files} == files
    for file in commit.files:
        assert hub.answers.shelf.content(file.sha256).read_bytes() == (folder / file.path).read_bytes()
    never_half(hub)


def writes(hub: Rehearsal) -> list[str]:
    return [one for one in hub.requests if one.startswith("PUT") or "/commit/" in one or "/tag/" in one]


def test_a_release_is_published_and_again_nothing_is_sent(hub: Rehearsal, releases: tuple[Path, Path]) -> None:
    done = publish(Release(releases[0], NAME))
    assert done.sent == len([path for path in releases[0].rglob("*") if path.is_file()])
    released(hub, "v1.0", releases[0])
    assert len(repository(hub).history) == 2
    hub.requests.clear()
    again = publish(Release(releases[0], NAME))
    assert (again.sent, again.commit) == (0, done.commit) and writes(hub) == []
    assert "Nothing to do" in again.message


@pytest.mark.slow
def test_a_later_release_sends_what_differs_and_keeps_the_first(hub: Rehearsal, releases: tuple[Path, Path]) -> None:
    publish(Release(releases[0], NAME))
    before = repository(hub)
    plan = plan_release(Release(releases[1], NAME, tag="v2.0"))
    assert plan.new_bytes < sum(file.bytes for file in plan.files) and "removed.json" in as_text(plan)
    assert repository(hub) == before
    done = publish(Release(releases[1], NAME, tag="v2.0"))
    assert done.sent == sum(file.state != "same" for file in plan.files)
    released(hub, "v2.0", releases[1])
    kept = repository(hub)
    assert kept.commits[kept.tags["v1.0"]] == before.commits[before.tags["v1.0"]]


@pytest.mark.slow
def test_a_tag_never_changes(hub: Rehearsal, releases: tuple[Path, Path]) -> None:
    publish(Release(releases[0], NAME))
    with pytest.raises(GristmillError, match=r"tag v1\.0 of another release.*raise `version:`"):
        publish(Release(releases[1], NAME))
    released(hub, "v1.0", releases[0])


@pytest.mark.slow
def test_files_of_others_stay_and_files_of_the_last_release_go(
    hub: Rehearsal, releases: tuple[Path, Path], tmp_path: Path
) -> None:
    publish(Release(releases[0], NAME))
    huggingface_hub.HfApi(endpoint=hub.endpoint).upload_file(
        path_or_fileobj=b"by hand", path_in_repo="LICENSE", repo_id=NAME, repo_type="dataset"
    )
    fewer = shutil.copytree(releases[0], tmp_path / "fewer")
    manifest = read_manifest(fewer)
    (fewer / manifest.tokens[-1].path).unlink()
    shorter = manifest.model_copy(update={"tokens": manifest.tokens[:-1]})
    (fewer / "manifest.json").write_text(shorter.to_json())
    publish(Release(fewer, NAME, tag="v1.1"))
    kept = repository(hub)
    paths = {file.path for file in kept.commits[kept.branches[MAIN]].files}
    assert "LICENSE" in paths and manifest.tokens[-1].path not in paths
    never_half(hub)


@pytest.mark.slow
def test_more_files_than_a_commit_bears_are_merged_at_once(
    hub: Rehearsal, releases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "COMMITTED_AT_ONCE", 5)
    monkeypatch.setattr(publishing, "SENT_AT_ONCE", 2)
    seen: list[set[str]] = []

    def look() -> None:
        kept = repository(hub)
        seen.append({file.path for file in kept.commits[kept.branches[MAIN]].files})

    hub.faults += [Fault("POST .*/commit/", 503, times=2, then=look), Fault("POST .*/merge", 500, then=look)]
    publish(Release(releases[0], NAME))
    assert seen == [set()] * 3 and sum("/merge" in one for one in hub.requests) == 2
    released(hub, "v1.0", releases[0])


@pytest.mark.slow
def test_another_card_is_published_and_the_tag_stays(
    hub: Rehearsal, releases: tuple[Path, Path], tmp_path: Path
) -> None:
    done = publish(Release(releases[0], NAME))
    folder = shutil.copytree(releases[0], tmp_path / "card")
    with (folder / "README.md").open("a") as stream:
        stream.write("One more sentence.\n")
    again = publish(Release(folder, NAME))
    assert (again.sent, again.commit) == (1, done.commit)
    kept = repository(hub)
    assert kept.tags == {"v1.0": done.commit} and kept.branches[MAIN] != done.commit
    publish(Release(releases[1], NAME, tag="v2"))
    now = repository(hub).branches
    assert publish(Release(folder, NAME)).sent == 0 and repository(hub).branches == now


def test_data_of_others_is_not_taken_for_ours(hub: Rehearsal, releases: tuple[Path, Path]) -> None:
    api = huggingface_hub.HfApi(endpoint=hub.endpoint)
    api.create_repo(NAME, repo_type="dataset")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="documents/a.txt", repo_id=NAME, repo_type="dataset")
    with pytest.raises(GristmillError, match=r"has documents/a\.txt, which a reader would take"):
        publish(Release(releases[0], NAME))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT /contents", 500, times=2),
        Fault("POST .*/commit/", 503, times=3),
        Fault("POST .*/commit/", 412, times=1),
        Fault("POST .*/commit/", None, times=1),
        Fault("POST .*/tag/", 500, times=2),
        Fault("POST .*/tag/", None, times=1),
        Fault("POST .*/preupload/", 503, times=1),
        Fault("GET .*/tree/", 502, times=1),
    ],
    ids=lambda fault: f"{fault.request.rpartition('/')[0][-12:]} {fault.status}",
)
def test_passing_trouble_is_overcome(hub: Rehearsal, releases: tuple[Path, Path], fault: Fault) -> None:
    hub.faults.append(fault)
    publish(Release(releases[0], NAME))
    assert fault.times == 0
    released(hub, "v1.0", releases[0])


@pytest.mark.slow
def test_another_commit_in_between_is_seen(hub: Rehearsal, releases: tuple[Path, Path]) -> None:
    """The hub refuses the first commit, as somebody else's has come before; the second is made on top of that one."""
    api = huggingface_hub.HfApi(endpoint=hub.endpoint)

    def other() -> None:
        api.upload_file(path_or_fileobj=b"x", path_in_repo="NOTES", repo_id=NAME, repo_type="dataset")

    hub.faults.append(Fault("POST .*/commit/", 412, then=other))
    publish(Release(releases[0], NAME))
    kept = repository(hub)
    assert "NOTES" in {file.path for file in kept.commits[kept.tags["v1.0"]].files}
    never_half(hub)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("request_", "status", "told"),
    [
        ("POST .*/commit/", 503, "5 attempts.*run the same command again later"),
        ("POST .*/commit/", 403, "the hub refuses.*HF_TOKEN"),
        ("POST /api/repos/create", 403, "the hub refuses.*HF_TOKEN"),
        ("POST .*/commit/", 400, "publishing stopped.*no reader sees half"),
    ],
)
def test_trouble_that_stays_says_what_to_do(
    hub: Rehearsal, releases: tuple[Path, Path], request_: str, status: int, told: str
) -> None:
    hub.faults.append(Fault(request_, status, times=100))
    with pytest.raises(GristmillError, match=told) as caught:
        publish(Release(releases[0], NAME))
    assert "hf_rehearsal" not in str(caught.value)
    never_half(hub)
    hub.faults.clear()
    publish(Release(releases[0], NAME))
    released(hub, "v1.0", releases[0])


def test_a_wrong_token_is_refused_and_not_shown(
    hub: Rehearsal, releases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(GristmillError, match="the hub refuses") as caught:
        publish(Release(releases[0], NAME))
    assert "hf_another" not in str(caught.value) and hub.answers.shelf.get(NAME) is None


@pytest.mark.slow
def test_a_private_and_gated_dataset(hub: Rehearsal, releases: tuple[Path, Path]) -> None:
    publish(Release(releases[0], NAME, private=True, gated="manual"))
    assert (repository(hub).private, repository(hub).gated) == (True, "manual")
    with pytest.raises(RepositoryNotFoundError):
        huggingface_hub.HfApi(endpoint=hub.endpoint, token=False).dataset_info(NAME)
    other = "miller/open"
    publish(Release(releases[0], other))
    with pytest.raises(GristmillError, match="is public already"):
        publish(Release(releases[0], other, private=True, tag="v2"))


@pytest.mark.slow
def test_a_pull_request_changes_nothing_until_it_is_merged(hub: Rehearsal, releases: tuple[Path, Path]) -> None:
    asked = publish(Release(releases[0], NAME, pull_request=True))
    kept = repository(hub)
    assert asked.request == f"{hub.endpoint}/datasets/{NAME}/discussions/1" and not kept.tags
    assert kept.commits[kept.branches[MAIN]].files == ()
    again = publish(Release(releases[0], NAME, pull_request=True))
    assert again.request == asked.request and again.sent == 0
    hub.answers.merge({"name": NAME, "number": "1"}, {}, None, True)
    done = publish(Release(releases[0], NAME, pull_request=True))
    assert done.request is None and done.sent == 0
    released(hub, "v1.0", releases[0])


def test_keys_are_not_published(hub: Rehearsal, releases: tuple[Path, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(releases[0], tmp_path / "keys")
    token = "hf_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3g"
    with (folder / "README.md").open("a") as stream:
        stream.write(f"\n{token} and {os.environ['HF_TOKEN']}\n")
    with pytest.raises(GristmillError, match=r"README\.md, line \d+: Hugging Face token") as caught:
        publish(Release(folder, NAME))
    assert "the token in use" in str(caught.value)
    assert token not in str(caught.value) and hub.answers.shelf.get(NAME) is None


def test_a_release_that_was_touched_is_not_published(
    hub: Rehearsal, releases: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(releases[0], tmp_path / "touched")
    victim = folder / read_manifest(folder).documents[0].path
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    with pytest.raises(GristmillError, match="not the file that manifest"):
        publish(Release(folder, NAME))
    assert hub.requests == []


@pytest.mark.slow
def test_new_bytes_by_chunks_are_fewer_than_by_files(hub: Rehearsal, releases: tuple[Path, Path]) -> None:
    publish(Release(releases[0], NAME))
    plan = with_chunks(plan_release(Release(releases[1], NAME, tag="v2.0")), releases[1], releases[0])
    assert plan.new_chunks is not None and 0 < plan.new_chunks <= plan.new_bytes


POINTS = {
    "before the first content": Fault("PUT /contents", 500),
    "after some contents": Fault("PUT /contents", None),
    "before the commit": Fault("POST .*/commit/", 500),
    "after the commit, before its answer": Fault("POST .*/commit/", None),
    "before the tag": Fault("POST .*/tag/", 500),
}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_and_run_again_it_ends_complete(
    hub: Rehearsal, releases: tuple[Path, Path], point: str
) -> None:
    fault = POINTS[point]
    arguments = [sys.executable, "-m", "pipeline.cli", "publish", str(releases[0]), NAME]
    client = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    hub.faults.append(Fault(fault.request, fault.status, then=client.kill))
    client.communicate(timeout=300)
    assert client.returncode == -signal.SIGKILL
    never_half(hub)
    found = hub.answers.shelf.get(NAME)
    assert not (found and found.tags)
    publish(Release(releases[0], NAME))
    released(hub, "v1.0", releases[0])
