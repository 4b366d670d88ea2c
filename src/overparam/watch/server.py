"""Serve the page of a run to this machine's browsers."""

import gzip
import ipaddress
import os
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

from overparam._errors import expect
from overparam.watch.connections import BoundedServer
from overparam.watch.page import answer, page
from overparam.watch.run import RunFile

_WHERE = "watch"
# Bytes of a record that one answer reads: a fraction of a second.
_PORTION = 2 << 20
# Bytes of an answer that are sent at once.
_BLOCK = 1 << 16


class RunServer(BoundedServer):
    """A page and its news, for as long as `serve_forever` runs.

    Args:
        path: The run's file; it need not exist yet.
        host: Address to listen at.
        port: Port; 0 takes a free one.
        allow_remote: Listen at an address that other machines can reach.

    Attributes:
        url: Where the page is.

    Raises:
        ValueError: If other machines could reach the address and that is not allowed, the
            port is taken or no port, or `path` is a folder, a pipe or a device.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        host: str = "127.0.0.1",
        port: int = 8321,
        allow_remote: bool = False,
    ) -> None:
        path = Path(path)
        kind = "a folder" if os.path.isdir(path) else "a pipe, a socket or a device"
        expect(os.path.isfile(path) or not os.path.exists(path), f"{_WHERE}({str(path)!r})",
               "a run's file", kind, "name the file that Monitor(file=...) writes.")  # fmt: skip
        expect(0 <= port < 65536, f"{_WHERE}(port=...)", "a port from 0 to 65535", port)
        expect(
            allow_remote or _is_loopback(host),
            f"{_WHERE}(host=...)",
            "an address of this machine alone, such as 127.0.0.1",
            host,
            hint="the page has no password; --allow-remote serves it to other machines.",
        )
        self.run, self.lock = RunFile(path), threading.Lock()
        self._said, self._drawn = ("", b""), {}
        self._pages: dict[bool, bytes] = {}
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Answer)
        except OSError as problem:
            expect(
                False, f"{_WHERE}(host={host!r}, port={port})", "a free port",
                problem.strerror or str(problem), hint="--port 0 takes a free one.",
            )  # fmt: skip
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.server_address[1]}/"

    def page(self, *, packed: bool) -> bytes:
        """The page, made once."""
        with self.lock:
            if not self._pages:
                made = page(self.run)
                self._pages = {False: made, True: gzip.compress(made)}
            return self._pages[packed]

    def news(self, since: str) -> bytes:
        """What the page asks for, as JSON; empty if there is nothing new.

        A record that is long is read in portions, one with every answer.
        """
        with self.lock:
            self.run.read(_PORTION)
            version = f"{self.run.version} {self.run.state()}"
            if version == since:
                return b""
            if version != self._said[0]:
                self._said = version, answer(self.run, version, self._drawn)
            return self._said[1]

    def server_bind(self) -> None:
        """Bind without asking a name service for the name of the address."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name = str(self.server_address[0])
        self.server_port = self.server_address[1]


class _Answer(BaseHTTPRequestHandler):
    """The page at ``/``, its news at ``/state``."""

    server: RunServer
    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds to wait for a question, or until a block of an answer is taken

    def do_GET(self) -> None:
        """Answer."""
        self.server.mark(self.connection, busy=True)
        try:
            self._answer()
        finally:
            self.server.mark(self.connection, busy=False)

    def _answer(self) -> None:
        place, _, query = self.path.partition("?")
        host = self.headers.get("Host", "").rsplit(":", 1)[0].strip("[]")
        # A page elsewhere may point a name of its own at this address and read the answer.
        if _is_loopback(str(self.server.server_address[0])) and not _is_loopback(host):
            self._send(403, "text/plain", b"This page is served to this machine alone.\n")
        elif place == "/":
            packed = "gzip" in self.headers.get("Accept-Encoding", "")
            content = self.server.page(packed=packed)
            self._send(200, "text/html; charset=utf-8", content, packed=packed)
        elif place == "/state":
            news = self.server.news(parse_qs(query).get("since", [""])[0])
            self._send(200 if news else 204, "application/json", news)
        else:
            self._send(404, "text/plain", b"There is nothing here.\n")

    def _send(self, status: int, kind: str, body: bytes, *, packed: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        for start in range(0, len(body), _BLOCK):  # each has its own time
            self.wfile.write(body[start : start + _BLOCK])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing about every question."""


def watch(
    path: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8321,
    allow_remote: bool = False,
    announce: Callable[[str], object] = print,
) -> None:
    """Serve a page that follows a run, until interrupted.

    Args:
        path: What ``Monitor(file=...)`` writes, or will write; finished runs too.
        host: Address to listen at.
        port: Port; 0 takes a free one.
        allow_remote: Listen at an address that other machines can reach. The page has no
            password and shows whatever the record holds.
        announce: Told the page's address once it can be opened.

    Raises:
        ValueError: As `RunServer`.

    Cost:
        A page asks once a second. An answer costs what has been recorded since the last one, and
        draws at most 1000 points a curve. The page itself is made once. At most 32 connections
        are open at a time; one that is silent for 10 seconds is closed.
    """
    with RunServer(path, host=host, port=port, allow_remote=allow_remote) as server:
        announce(server.url)
        server.serve_forever()


def _is_loopback(host: str) -> bool:
    """Whether an address belongs to this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
