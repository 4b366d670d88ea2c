"""A bounded number of connections, of which those that say nothing give way."""

import socket
import sys
import threading
from contextlib import suppress
from http.server import ThreadingHTTPServer
from typing import Any

_FULL = b"Too many connections; try again.\n"
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_FULL), _FULL)
)


class BoundedServer(ThreadingHTTPServer):
    """A thread for each connection, and at most so many.

    One more than that takes the place of the connection that has been silent for longest; if
    none is silent, it is answered with 503 and closed.

    Attributes:
        most: Connections at a time.
    """

    daemon_threads = True
    request_queue_size = 128
    most = 32

    def __init__(self, *arguments: Any) -> None:
        self._guard = threading.Lock()
        self._open: dict[socket.socket, bool] = {}  # whether it is being answered; oldest first
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there is room."""
        with self._guard:
            full = len(self._open) >= self.most
            silent = next((other for other, busy in self._open.items() if not busy), None)
            if full and silent is not None:
                del self._open[silent]
                with suppress(OSError):
                    silent.shutdown(socket.SHUT_RDWR)  # its thread wakes, and closes it
                full = False
            if not full:
                self._open[request] = False
        if not full:
            super().process_request(request, client_address)
            return
        request.settimeout(0.1)
        with suppress(OSError):
            request.recv(1 << 16)  # to close on a question that is not read would lose the answer
        with suppress(OSError):
            request.sendall(_FULL)
        self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and make room."""
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def mark(self, request: socket.socket, *, busy: bool) -> None:
        """Say that a connection is being answered, or has been."""
        with self._guard:
            if self._open.pop(request, None) is not None:
                self._open[request] = busy  # at the end: silent for the shortest time

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of readers that have left."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
