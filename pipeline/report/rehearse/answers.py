"""What the rehearsal's hub answers: one method for each thing that a client asks."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import yaml

from pipeline.report.rehearse.message import Answer, Refused
from pipeline.report.rehearse.repository import (
    MAIN,
    Commit,
    File,
    Repository,
    Shelf,
    is_large,
    large_file,
    small_file,
)

_NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
_EPOCH = "2026-01-01T00:00:00.000Z"
"""The date of everything: a rehearsal has no clock."""


Route = tuple[str, str, Callable[[dict[str, str], dict[str, str], Any, bool], Answer]]


@dataclass
class Answers:
    """The answers over what lies in `folder`; each gets names of the path, query, body, and if it is known who asks."""

    folder: Path
    port: int = 0
    shelf: Shelf = field(init=False)
    routes: tuple[Route, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.folder)
        api = f"/api/datasets/{_NAME}"
        revision = r"(?P<revision>[^/]+|refs/pr/\d+)"
        self.routes = (
            ("GET", "/api/whoami-v2", self.whoami),
            ("POST", "/api/repos/create", self.create),
            ("POST", "/api/validate-yaml", self.validate),
            ("PUT", f"{api}/settings", self.settings),
            ("POST", f"{api}/preupload/{revision}", self.preupload),
            ("POST", f"/datasets/{_NAME}.git/info/lfs/objects/batch", self.batch),
            ("PUT", "/contents/(?P<sha256>[0-9a-f]{64})", self.stored),
            ("POST", "/contents/(?P<sha256>[0-9a-f]{64})/verify", self.stored),
            ("POST", f"{api}/commit/{revision}", self.commit),
            ("POST", f"{api}/tag/{revision}", self.tag),
            ("GET", f"{api}/discussions", self.discussions),
            ("POST", rf"{api}/discussions/(?P<number>\d+)/merge", self.merge),
            ("POST", f"{api}/paths-info/{revision}", self.paths),
            ("GET", f"{api}/refs", self.refs),
            ("GET", f"{api}/tree/{revision}(?:/(?P<folder>.*))?", self.tree),
            ("GET", f"{api}/revision/{revision}", self.info),
            ("GET", api, self.info),
            ("GET", f"/datasets/{_NAME}/resolve/{revision}/(?P<path>.+)", self.resolve),
        )

    def whoami(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """Who has the token."""
        if not known:
            raise Refused(401, "no such token")
        return Answer.of({"type": "user", "name": "rehearsal", "orgs": []})

    def create(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """A new repository; 409 where there is one."""
        name = f"{body.get('organization') or 'rehearsal'}/{body['name']}"
        with self.shelf.lock:
            old = self.shelf.get(name)
            if old is None:
                self.shelf.create(name, private=body.get("visibility") == "private" or bool(body.get("private")))
        told = {"url": f"{self._endpoint}/datasets/{name}", "name": name}
        return Answer.of(told | ({"error": "you have one of that name"} if old else {}), 409 if old else 200)

    def validate(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """Whether a card begins with YAML."""
        _, _, rest = body["content"].partition("---\n")
        try:
            header = yaml.safe_load(rest.partition("\n---")[0])
            errors = [] if isinstance(header, dict) else [{"message": "no map of YAML at the start of the card"}]
        except yaml.YAMLError as error:
            errors = [{"message": str(error)}]
        return Answer.of({"errors": errors, "warnings": []}, 400 if errors else 200)

    def settings(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """Private or not, gated or not."""
        with self.shelf.lock:
            changed: dict[str, Any] = {"gated": body["gated"] or None} if "gated" in body else {}
            changed |= {"private": body["visibility"] == "private"} if "visibility" in body else {}
            self.shelf.put(self._repository(names, known).model_copy(update=changed))
        return Answer.of({})

    def preupload(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """For each file how it is to be sent, and what it is now."""
        now = {file.path: file for file in self._commit(names, known)[1].files}
        return Answer.of({"files": [_mode(wanted, now.get(wanted["path"])) for wanted in body["files"]]})

    def batch(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """For each large content where to put it; nowhere if it is there."""
        self._repository(names, known)
        return Answer.of({"transfer": "basic", "objects": [self._upload(wanted) for wanted in body["objects"]]})

    def receive(self, sha256: str, stream: BinaryIO, size: int) -> Answer:
        """Take a content in; 400 where it is another."""
        found = self.shelf.keep(stream, size)
        if found != sha256:
            raise Refused(400, f"sha256 is {found}, not {sha256}")
        return Answer.of({})

    def stored(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """Whether a content is there, and as long as it should be."""
        content = self.shelf.content(names["sha256"])
        if not content.exists() or content.stat().st_size != body["size"]:
            raise Refused(404, "this content was not received")
        return Answer.of({})

    def commit(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """New, changed and deleted files, all at once; to a new pull request where that is asked for."""
        with self.shelf.lock:
            repository, before = self._commit(names, known)
            header = next(line["value"] for line in body if line["key"] == "header")
            if header.get("parentCommit") not in (None, before.oid):
                raise Refused(412, f"the branch is at {before.oid}: a commit has happened since")
            branch, told = names["revision"], {}
            if query.get("create_pr"):
                number = sum(name.startswith("refs/pr/") for name in repository.branches) + 1
                branch = f"refs/pr/{number}"
                repository = repository.model_copy(update={"branches": repository.branches | {branch: before.oid}})
                told = {"pullRequestUrl": f"{self._endpoint}/datasets/{names['name']}/discussions/{number}"}
            if branch not in repository.branches:
                raise Refused(404, f"no branch {branch}", code="RevisionNotFound")
            files = {file.path: file for file in before.files}
            for line in body:
                self._apply(line, files)
            made = self.shelf.commit(repository, branch, header["summary"], files)
        url = f"{self._endpoint}/datasets/{names['name']}/commit/{made.oid}"
        return Answer.of({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": "", **told})

    def tag(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """A name for a commit; 409 where there is one of that name."""
        with self.shelf.lock:
            repository, commit = self._commit(names, known)
            if body["tag"] in repository.tags:
                raise Refused(409, f"there is a tag {body['tag']}")
            self.shelf.put(repository.model_copy(update={"tags": repository.tags | {body["tag"]: commit.oid}}))
        return Answer.of({})

    def merge(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """A pull request becomes `main`."""
        with self.shelf.lock:
            repository = self._repository(names, known)
            merged = repository.branches[f"refs/pr/{names['number']}"]
            self.shelf.move(repository, MAIN, merged)
        return Answer.of({})

    def discussions(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """Pull requests: open as long as `main` was never what they are."""
        repository = self._repository(names, known)
        found = [
            {
                "title": repository.commits[oid].title,
                "num": int(branch.rpartition("/")[2]),
                "author": {"name": "rehearsal"},
                "createdAt": _EPOCH,
                "status": "merged" if oid in repository.history else "open",
                "repo": {"name": repository.name, "type": "dataset"},
                "isPullRequest": True,
            }
            for branch, oid in repository.branches.items()
            if branch.startswith("refs/")
        ]
        wanted = [one for one in found if query.get("status") in (None, "all", one["status"])]
        return Answer.of({"discussions": wanted, "count": len(wanted), "start": 0})

    def paths(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """Those of some paths that are there."""
        wanted = body.get("paths") or []
        _, commit = self._commit(names, known)
        return Answer.of([_told(file) for file in commit.files if file.path in wanted])

    def refs(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """Branches and tags."""
        repository = self._repository(names, known)
        branches = repository.branches
        requests = [_ref(name, name, oid) for name, oid in branches.items() if name.startswith("refs/")]
        return Answer.of(
            {
                "branches": [_ref(MAIN, f"refs/heads/{MAIN}", branches[MAIN])],
                "tags": [_ref(name, f"refs/tags/{name}", oid) for name, oid in repository.tags.items()],
                "converts": [],
                "pullRequests": requests,
            }
        )

    def tree(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """The files below a folder; without `recursive` those in it, and its folders."""
        _, commit = self._commit(names, known)
        root = PurePosixPath(names["folder"])
        inside = [file for file in commit.files if root in PurePosixPath(file.path).parents]
        if names["folder"] and not inside:
            raise Refused(404, f"no folder {root}", code="EntryNotFound")
        if query.get("recursive", "").lower() == "true":
            return Answer.of([_told(file) for file in inside])
        direct = [file for file in inside if PurePosixPath(file.path).parent == root]
        deeper = {root / PurePosixPath(file.path).relative_to(root).parts[0] for file in inside if file not in direct}
        folders = [{"type": "directory", "path": path.as_posix(), "size": 0, "oid": commit.oid} for path in deeper]
        return Answer.of([*sorted(folders, key=lambda entry: str(entry["path"])), *map(_told, direct)])

    def info(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """A repository at a commit."""
        repository, commit = self._commit({"revision": MAIN, **names}, known)
        told = {"_id": "0", "id": names["name"], "author": names["name"].partition("/")[0], "sha": commit.oid}
        times = {"lastModified": _EPOCH, "createdAt": _EPOCH}
        counts = {"disabled": False, "downloads": 0, "likes": 0, "tags": [], "usedStorage": 0}
        siblings = [{"rfilename": file.path} for file in commit.files]
        state = {"private": repository.private, "gated": repository.gated or False, "siblings": siblings}
        return Answer.of({**told, **times, **counts, **state})

    def resolve(self, names: dict[str, str], query: dict[str, str], body: Any, known: bool) -> Answer:
        """The bytes of a file at a commit."""
        _, commit = self._commit(names, known)
        file = next((file for file in commit.files if file.path == names["path"]), None)
        at = {"X-Repo-Commit": commit.oid}
        if file is None:
            raise Refused(404, f"no file {names['path']}", code="EntryNotFound", **at)
        etag = f'"{file.sha256 if file.large else file.blob}"'
        linked = {"X-Linked-Size": str(file.size), "X-Linked-ETag": etag} if file.large else {}
        headers = {"Content-Type": "application/octet-stream", "ETag": etag, "Accept-Ranges": "bytes", **at, **linked}
        return Answer(200, headers, file=self.shelf.content(file.sha256))

    @property
    def _endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _repository(self, names: dict[str, str], known: bool) -> Repository:
        found = self.shelf.get(names["name"])
        if found is None or ((found.private or found.gated) and not known):
            raise Refused(404 if known else 401, f"no dataset {names['name']} for you", code="RepoNotFound")
        return found

    def _commit(self, names: dict[str, str], known: bool) -> tuple[Repository, Commit]:
        repository = self._repository(names, known)
        if (commit := repository.at(names["revision"])) is None:
            raise Refused(404, f"no revision {names['revision']}", code="RevisionNotFound")
        return repository, commit

    def _upload(self, wanted: dict[str, Any]) -> dict[str, Any]:
        place = f"{self._endpoint}/contents/{wanted['oid']}"
        told = {"oid": wanted["oid"], "size": wanted["size"]}
        if self.shelf.content(wanted["oid"]).exists():
            return told
        return told | {"actions": {"upload": {"href": place}, "verify": {"href": f"{place}/verify"}}}

    def _apply(self, line: dict[str, Any], files: dict[str, File]) -> None:
        """One line of a commit."""
        kind, value = line["key"], line["value"]
        if kind == "file":
            content = base64.b64decode(value["content"])
            self.shelf.keep_bytes(content)
            files[value["path"]] = small_file(value["path"], content)
        elif kind == "lfsFile":
            if not self.shelf.content(value["oid"]).exists():
                raise Refused(400, f"{value['path']}: its content was not received")
            files[value["path"]] = large_file(value["path"], value["oid"], value["size"])
        elif kind == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise Refused(404, f"no file {value['path']}", code="EntryNotFound")
        elif kind == "deletedFolder":
            for path in [path for path in files if path.startswith(value["path"].rstrip("/") + "/")]:
                del files[path]
        elif kind != "header":
            raise Refused(400, f"{kind} is not part of a rehearsal")


def _mode(wanted: dict[str, Any], now: File | None) -> dict[str, Any]:
    large = is_large(wanted["path"], wanted["size"])
    oid = None if now is None else now.sha256 if now.large else now.blob
    mode = "lfs" if large else "regular"
    return {"path": wanted["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}


def _told(file: File) -> dict[str, Any]:
    told = {"type": "file", "path": file.path, "size": file.size, "oid": file.blob}
    return told | ({"lfs": {"oid": file.sha256, "size": file.size, "pointerSize": 130}} if file.large else {})


def _ref(name: str, ref: str, oid: str) -> dict[str, str]:
    return {"name": name, "ref": ref, "targetCommit": oid}
