from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pipeline.backends.html import How, read
from pipeline.backends.pages import Reader, read_pages
from pipeline.core.errors import GristmillError
from tests import samples

GOOD = f"<html><title>T</title><body><p>{samples.ENGLISH}</p></body></html>".encode()
FAST = How(mode="fast")
UNGUARDED = How(mode="fast", max_depth=None, max_attributes=None)
DEEP = b"<div>" * 100_000 + b"hello"
WIDE = b"<p " + b" ".join(b"a%d=1" % i for i in range(100_000)) + b">hello"


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def test_a_child_reads_as_this_process_would(reader: Reader) -> None:
    for body in (GOOD, samples.CHINESE.encode("gb18030"), b"", b"\xff\x00<"):
        assert reader.read(body, None, FAST, 10) == read(body, None, FAST)
    assert list(read_pages([(GOOD, None), (b"", None)], FAST, 10)) == [read(GOOD, None, FAST), read(b"", None, FAST)]


@pytest.mark.slow
@pytest.mark.parametrize("body", [DEEP, WIDE], ids=["100,000 nested elements", "100,000 attributes"])
def test_a_page_that_hangs_a_parser_costs_itself_alone(reader: Reader, body: bytes) -> None:
    before = reader.read(GOOD, None, UNGUARDED, 0.3)
    hung = reader.read(body, None, UNGUARDED, 0.3)
    assert (hung.reason, hung.limit, hung.text) == ("extraction_timed_out", 0.3, "")
    assert reader.read(GOOD, None, UNGUARDED, 0.3) == before


def test_time_waiting_does_not_count(reader: Reader) -> None:
    reader.read(GOOD, None, FAST, 0.2)
    pid = reader._child.pid  # type: ignore[union-attr]
    time.sleep(0.3)
    assert reader.read(GOOD, None, FAST, 0.2).reason is None
    assert reader._child.pid == pid  # type: ignore[union-attr]


def test_a_child_that_was_killed_is_replaced_and_its_page_read_again(reader: Reader) -> None:
    expected = reader.read(GOOD, None, FAST, 10)
    os.kill(reader._child.pid, signal.SIGKILL)  # type: ignore[union-attr]
    assert reader.read(GOOD, None, FAST, 10) == expected


def test_a_page_that_brings_the_parser_down_every_time_is_dropped_with_the_signal(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = (
        "import os, pipeline.backends.pages as pages\n"
        "whole = pages.read\n"
        "pages.read = lambda body, *rest: os.abort() if b'crash' in body else whole(body, *rest)\n"
        "pages.serve()"
    )
    monkeypatch.setattr("pipeline.backends.pages._COMMAND", (sys.executable, "-P", "-c", crashing))
    good = reader.read(GOOD, None, FAST, 10)
    crashed = reader.read(b"crash", None, FAST, 10)
    assert (crashed.reason, crashed.detail) == ("parser_crashed", "ended by SIGABRT")
    assert reader.read(GOOD, None, FAST, 10) == good


def test_what_a_parser_raises_or_prints_stays_in_the_child(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = (
        "import os, pipeline.backends.pages as pages\n"
        "def read(*_):\n"
        "    os.write(1, b'not an answer'); print('nor this', flush=True); raise RecursionError\n"
        "pages.read = read\n"
        "pages.serve()"
    )
    monkeypatch.setattr("pipeline.backends.pages._COMMAND", (sys.executable, "-P", "-c", noisy))
    for _ in range(2):
        page = reader.read(GOOD, None, FAST, 10)
        assert (page.reason, page.detail) == ("parser_crashed", "RecursionError")


def test_memory_is_bounded(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    greedy = "import pipeline.backends.pages as pages\npages.read = lambda *_: bytearray(8 << 30)\npages.serve()"
    monkeypatch.setattr("pipeline.backends.pages._COMMAND", (sys.executable, "-P", "-c", greedy))
    assert reader.read(GOOD, None, FAST, 10).reason == "parser_crashed"


def test_an_interrupted_answer_is_not_taken_for_the_next(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = reader.read(GOOD, None, FAST, 10)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.backends.pages._receive", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            reader.read(b"<p>another page, whose answer nobody waited for</p>", None, FAST, 10)
    assert reader.read(GOOD, None, FAST, 10) == expected


def _interrupted(_stream: object) -> None:
    raise KeyboardInterrupt


def test_a_child_that_cannot_start_is_an_error_and_not_a_crashed_page(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.backends.pages._COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(GristmillError, match="did not start, ended with status 3"):
        reader.read(GOOD, None, FAST, 10)


def test_a_child_ends_with_its_parent_however_that_ends() -> None:
    code = (
        "import os, pipeline.backends.pages as pages\n"
        "from pipeline.backends.html import How\n"
        "list(pages.read_pages([(b'<p>x</p>', None)], How('fast'), 10))\n"
        "print(pages._reader(os.getpid())._child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    _assert_gone(int(parent.stdout))


def test_an_orderly_exit_leaves_nothing_and_warns_of_nothing() -> None:
    code = (
        "import os, pipeline.backends.pages as pages\n"
        "from pipeline.backends.html import How\n"
        "list(pages.read_pages([(b'<p>x</p>', None)], How('fast'), 10))\n"
        "print(pages._reader(os.getpid())._child.pid)"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    _assert_gone(int(done.stdout))


def _assert_gone(pid: int) -> None:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if _is_zombie(pid):
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} outlived its parent")


def _is_zombie(pid: int) -> bool:
    """Ended, and not ours to wait for."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.startswith("Z")
