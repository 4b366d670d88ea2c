"""Serve the page of a run to this machine's browsers."""

import ipaddress
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from overparam._errors import expect
from overparam.watch.page import page, update
from overparam.watch.run import RunFile

_WHERE = "watch"


class RunServer(ThreadingHTTPServer):
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
            port is taken or no port, or `path` is a folder.
    """

    daemon_threads = True

    def __init__(
        self,
        path: Path | str,
        *,
        host: str = "127.0.0.1",
        port: int = 8321,
        allow_remote: bool = False,
    ) -> None:
        path = Path(path)
        expect(not path.is_dir(), f"{_WHERE}({str(path)!r})", "a run's file", "a folder",
               "name the file that Monitor(file=...) writes.")  # fmt: skip
        expect(0 <= port < 65536, f"{_WHERE}(port=...)", "a port from 0 to 65535", port)
        expect(
            allow_remote or _is_loopback(host),
            f"{_WHERE}(host=...)",
            "an address of this machine alone, such as 127.0.0.1",
            host,
            hint="the page has no password; --allow-remote serves it to other machines.",
        )
        self.run, self.lock = RunFile(path), threading.Lock()
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

    def do_GET(self) -> None:
        """Answer."""
        asked = urlsplit(self.path)
        host = self.headers.get("Host", "").rsplit(":", 1)[0].strip("[]")
        # A page elsewhere may point a name of its own at this address and read the answer.
        if _is_loopback(str(self.server.server_address[0])) and not _is_loopback(host):
            self._send(403, "text/plain", b"This page is served to this machine alone.\n")
        elif asked.path == "/":
            self._send(200, "text/html; charset=utf-8", page(self.server.run))
        elif asked.path == "/state":
            self._news(parse_qs(asked.query).get("since", [""])[0])
        else:
            self._send(404, "text/plain", b"There is nothing here.\n")

    def _news(self, since: str) -> None:
        run = self.server.run
        with self.server.lock:
            run.read()
            version = f"{run.version} {run.state()}"
            if version == since:
                self._send(204, "application/json", b"")
                return
            news = {"version": version, **update(run)}
        self._send(200, "application/json", json.dumps(news, allow_nan=False).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the reader has left

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
        A page asks once a second; an answer redraws at most a few thousand points a figure.
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
