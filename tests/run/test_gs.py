"""A build at gs:// by gcsfs, on an emulator of the service (PyPI: gcp-storage-emulator): the bytes of a local build."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core import bucket
from pipeline.core.errors import MissingBackend
from pipeline.core.mirror import located
from tests import buckets, projects


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("gcsfs", reason="gcsfs is not installed: pip install 'gristmill[gcs]'")
    pytest.importorskip("gcp_storage_emulator", reason="pip install gcp-storage-emulator")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={port}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, "--in-memory", "--default-bucket=shelf"], **quiet) as process:  # type: ignore[call-overload]
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "cache"))
        bucket._opened.cache_clear()
        buckets.afresh()
        yield
        bucket._opened.cache_clear()
        process.kill()


@pytest.mark.slow
def test_a_corpus_at_gs_has_the_bytes_of_a_local_one(
    service: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = projects.make_project(tmp_path, n_files=3, per_file=20)
    local = projects.build(recipe, tmp_path / "local")
    far = projects.build(recipe, located("gs://shelf/some/where"))
    assert far.manifest.digest == local.manifest.digest and far.folder.url == "gs://shelf/some/where/small"  # type: ignore[attr-defined]
    monkeypatch.setenv("GRISTMILL_CACHE", str(tmp_path / "other"))
    buckets.afresh()
    corpus = located("gs://shelf/some/where/small")
    assert projects.digests(corpus) == projects.digests(local.folder)
    assert projects.build(recipe, located("gs://shelf/some/where")).worked == 0
    buckets.afresh()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("gcsfs")

    monkeypatch.setattr("fsspec.filesystem", missing)
    bucket._opened.cache_clear()
    with pytest.raises(MissingBackend, match=r"gs:// needs the package 'gcsfs': pip install 'gristmill\[gcs\]'"):
        bucket.listing("gs://shelf/a")
    bucket._opened.cache_clear()
