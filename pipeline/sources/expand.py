"""Decompression that cannot be made to fill the memory or the disk, and that says where a stream is cut."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

STEP = 4096
"""Compressed bytes of gzip fed at once, of zstd a quarter: bounds what one call can expand to, 4 and 32 MiB."""
RATIO, RATIO_FROM = 1000, 256 << 20
"""Expansion refused as a bomb, judged only from this many bytes on: the most that text was seen to reach is 100."""

GZIP, ZSTD, LZ4 = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"


class Damaged(Exception):
    """The stream cannot be read on; what was read before is good."""


class Inflater(Protocol):
    """A decompressor of one gzip member or zstd frame."""

    @property
    def eof(self) -> bool:
        """Whether the member is complete."""

    @property
    def unused_data(self) -> bytes:
        """What came after it."""

    def decompress(self, data: bytes, /) -> bytes:
        """What these bytes expand to."""


def compression(start: bytes) -> str | None:
    """gzip, zstd, lz4 or None, by the first bytes of a file."""
    if start.startswith(ZSTD) or (start[1:4] == b"\x2a\x4d\x18" and 0x50 <= start[0] <= 0x5F):
        return "zstd"
    return "gzip" if start.startswith(GZIP) else "lz4" if start.startswith(LZ4) else None


def chunks(stream: BinaryIO, kind: str | None, max_bytes: int) -> Iterator[bytes]:
    """The content of a file piece by piece; Damaged where it is cut, broken or expands beyond the limits."""
    if kind is None:
        yield from iter(lambda: stream.read(1 << 20), b"")
        return
    n_in, n_out = 0, 0
    for n_read, piece in inflated(stream, kind):
        n_in, n_out = n_in + n_read, n_out + len(piece)
        yield piece
        if n_out > max_bytes:
            raise Damaged(f"expands beyond max_bytes of {max_bytes}")
        if n_out > RATIO_FROM and n_out > RATIO * n_in:
            raise Damaged(f"expands to more than {RATIO} times its size")


def inflated(stream: BinaryIO, kind: str) -> Iterator[tuple[int, bytes]]:
    """Pairs of compressed bytes consumed and what they expand to, over all members; Damaged at the end of a cut one."""
    member: Inflater | None = None
    step = STEP if kind == "gzip" else STEP // 4
    while data := stream.read(step):
        while data:
            if member is None and kind == "gzip" and not data.strip(b"\0"):
                yield len(data), b""  # tapes are padded with zeros after the last member
                break
            member = member or _inflater(kind)
            try:
                piece = member.decompress(data)
            except _errors(kind) as error:
                raise Damaged(f"damaged {kind} stream ({error})") from None
            rest = member.unused_data if member.eof else b""
            yield len(data) - len(rest), piece
            member = None if member.eof else member
            data = rest
    if member is not None:
        raise Damaged(f"truncated {kind} stream")


def _inflater(kind: str) -> Inflater:
    if kind == "gzip":
        return zlib.decompressobj(wbits=31)
    if kind == "zstd":
        import zstandard

        made: Inflater = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
        return made
    raise Damaged(f"{kind} is not read here: use gzip or zstd")


def _errors(kind: str) -> tuple[type[Exception], ...]:
    if kind == "gzip":
        return (zlib.error,)
    import zstandard

    return (zstandard.ZstdError,)
