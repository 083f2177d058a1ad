"""What a web server may do to whoever reads from it: where its addresses may lead, and how slow it may be.

A recipe may be someone else's, so its addresses may not reach this machine or the network behind it, unless the command
allows a host. The address that was really connected to counts, looked at before a byte is sent: neither a redirect, nor
a name, nor a name that resolves to something else the second time gets around it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from types import TracebackType
from typing import Any

from pipeline.core.asset import current
from pipeline.core.errors import SourceError

WINDOW, SLOWEST = 60.0, 1 << 10
"""A server that gives less than so many bytes a second, over so many seconds, headers included, is not waited for."""

LARGEST = 64 << 30
"""Bytes that are taken from a server which does not say how many there will be."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Guard:
    """Watches one exchange; `trace` is for httpx2, which tells it of every connection. Use as a context manager."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.received = 0
        self.slow = False
        self._host = self._dialled = ""
        self._socket: socket.socket | None = None
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._end_if_slow, daemon=True)

    def __enter__(self) -> Guard:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watch.join()

    def toward(self, host: str) -> None:
        """The host that is asked next; SourceError where it is an IP address that may not be reached."""
        self._host = host.strip("[]")
        refuse_private(self.uri, self._host, self._host)

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """SourceError where a connection leads to an address that may not be reached; through a proxy, the proxy's."""
        if event == "connection.connect_tcp.started":
            self._dialled = info["host"]
        elif event == "connection.connect_tcp.complete":
            stream = info["return_value"]
            if self._dialled.strip("[]") == self._host:
                try:
                    refuse_private(self.uri, self._host, stream.get_extra_info("server_addr")[0])
                except SourceError:
                    stream.close()
                    raise
            self._socket = stream.get_extra_info("socket")

    def why(self, error: Exception | None = None) -> str:
        """What ended the exchange."""
        slow = f"gave less than {SLOWEST} bytes a second for {WINDOW:g} s"
        return slow if self.slow else f"{type(error).__name__}: {error}"

    def _end_if_slow(self) -> None:
        before = self.received
        while not self._over.wait(WINDOW):
            if self.received - before < SLOWEST * WINDOW:
                self.slow = True
                if self._socket:
                    with contextlib.suppress(OSError):
                        self._socket.shutdown(socket.SHUT_RDWR)
                return
            before = self.received


def refuse_private(uri: str, host: str, address: str) -> None:
    """SourceError where an IP address is not of the public internet, and neither it nor `host` is allowed."""
    try:
        found = _embedded(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return  # a name, which nothing is known of before it is connected to
    if found.is_global and not found.is_multicast:
        return
    if not any(entry.lower() == host.lower() or _is_in(found, entry) for entry in current().allow):
        named = host if host == address else f"{host} ({address})"
        message = f"{named} is on this machine or in a network that is not public: refused"
        raise SourceError(uri, f"{message}; pass --allow-host {host} if it is meant")


def _embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, where that is how it is reached."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _is_in(address: Address, entry: str) -> bool:
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
