"""A board's own address on the bench's network: SSH at port 22 while it has power.

A board whose power goes says no goodbye: connections that it had stay silent, until its next
power-on, when it knows nothing of them.
"""

import contextlib
import socket
import threading
from collections.abc import Callable

from harness.errors import HarnessError
from harness.simulate.played_line import hang_up, listening

_SSH = 22
_BUFFER = 1 << 16


class Address:
    """Carries TCP between `address` and the port that `inside` tells of the running boot."""

    def __init__(self, address: str, inside: Callable[[], int]) -> None:
        self._address = address
        self._inside = inside
        self._server: socket.socket | None = None
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []

    def up(self) -> None:
        """The board has power; LabError when somebody else listens there."""
        self.reset()
        if self._server is None:
            self._server = listening((self._address, _SSH))
            threading.Thread(target=self._accept, args=[self._server], daemon=True).start()

    def down(self) -> None:
        """The power has gone: nobody gets a connection, who has one hears nothing."""
        server, self._server = self._server, None
        if server:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()

    def reset(self) -> None:
        """What was silent is told so."""
        with self._lock:
            ended, self._open = self._open, []
        for each in ended:
            hang_up(each)

    def close(self) -> None:
        """End all of it. Idempotent."""
        self.down()
        self.reset()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                outside, _ = server.accept()
            except OSError:
                return
            with self._lock:
                self._open.append(outside)
            threading.Thread(target=self._carry, args=[outside], daemon=True).start()

    def _carry(self, outside: socket.socket) -> None:
        try:
            inside = socket.create_connection(("127.0.0.1", self._inside()), timeout=5)
        except (OSError, HarnessError):
            self._end(outside)
            return
        inside.settimeout(None)
        threading.Thread(target=_typed, args=[outside, inside], daemon=True).start()
        _pump(inside, outside)
        hang_up(inside)
        if self._server is not None:  # the board has ended it, not its power
            self._end(outside)

    def _end(self, outside: socket.socket) -> None:
        with self._lock:
            if outside in self._open:
                self._open.remove(outside)
        hang_up(outside)


def _typed(outside: socket.socket, inside: socket.socket) -> None:
    _pump(outside, inside)
    with contextlib.suppress(OSError):
        inside.shutdown(socket.SHUT_WR)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_BUFFER):
            sink.sendall(data)
