"""A board's serial line, as ser2net shows a port: raw TCP, at the speed of the wire.

One thread reads what the board prints and lets it out byte rate by byte rate, to all who are
connected; what is printed while nobody is, is gone, as on a port that nobody has open. A board
that prints faster than the line (no QEMU waits for its UART) comes late on it: until the power
goes, for then the rest was never printed.
"""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable

from harness.boards.console import Console
from harness.errors import LabError

_BITS = 10  # on the wire for a byte, 8N1
_TURN = 0.02  # seconds; a turn's bytes go out together, as a UART's FIFO comes in
_CLIENTS = 10  # ser2net's `max-connections`, as labgrid's exporter sets it
_BUFFER = 1 << 16


class PlayedLine:
    """The line of one board, from `open` to `close`. Thread-safe."""

    def __init__(self, console: Console, *, speed: int, address: tuple[str, int]) -> None:
        self._console = console
        self._rate = speed / _BITS
        self._address = address
        self._clients: list[socket.socket] = []
        self._held = b""  # printed, and not on the wire yet
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        # What becomes of a turn's bytes on their way out, and of those that come in.
        self.outward: Callable[[bytes], bytes] = bytes
        self.inward: Callable[[bytes], bytes] = bytes

    def open(self) -> None:
        """Listen, and let out what the board prints from now on. LabError for a port in use."""
        self.plug()
        self._start(self._let_out)

    def plug(self) -> None:
        """Listen: the adapter is there. No effect when it is."""
        if self._server:
            return
        self._server = listening(self._address)
        self._start(self._accept, self._server)

    def unplug(self) -> None:
        """The adapter is gone: connections end, nobody can make one."""
        server, self._server = self._server, None
        if server:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
            server.close()
        with self._lock:
            clients, self._clients = self._clients, []
        for each in clients:
            hang_up(each)

    def close(self) -> None:
        """End all of it. Idempotent."""
        self._over.set()
        self.unplug()
        for each in self._threads:
            each.join()

    def cut(self) -> None:
        """The power has gone: what was not on the wire yet was never printed."""
        self._console.skip()
        self._held = b""

    def _start(self, what: Callable[..., None], *words: object) -> None:
        thread = threading.Thread(target=what, args=words, name="serial", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _let_out(self) -> None:
        share = max(1, round(self._rate * _TURN))
        while not self._over.is_set():
            began = time.monotonic()
            if len(self._held) < share:
                self._held += self._console.read(_TURN)
            if not self._held:
                continue
            turn, self._held = self._held[:share], self._held[share:]
            self._send(self.outward(turn))
            self._over.wait(max(0.0, len(turn) / self._rate - (time.monotonic() - began)))

    def _send(self, data: bytes) -> None:
        with self._lock:
            clients = list(self._clients)
        for each in clients:
            try:
                each.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue  # it does not read: the port's buffer overflows
            except OSError:
                self._forget(each)

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with self._lock:
                full = len(self._clients) >= _CLIENTS
                if not full:
                    self._clients.append(client)
            if full:
                with contextlib.suppress(OSError):
                    client.sendall(b"Port already in use\r\n")
                client.close()
            else:
                self._start(self._take_in, client)

    def _take_in(self, client: socket.socket) -> None:
        while True:
            try:
                data = client.recv(_BUFFER)
            except OSError:
                data = b""
            if not data:
                break
            with contextlib.suppress(LabError):  # a board that is off hears nothing
                self._console.write(self.inward(data))
        self._forget(client)

    def _forget(self, client: socket.socket) -> None:
        with self._lock:
            if client in self._clients:
                self._clients.remove(client)
        hang_up(client)


def listening(address: tuple[str, int]) -> socket.socket:
    """A listening TCP socket; LabError when somebody else listens there."""
    server = socket.socket()
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen()
    except OSError as error:
        server.close()
        raise LabError(
            f"cannot listen at {address[0]}:{address[1]}: {error.strerror}",
            hint="does another `harness lab simulate` run? `simulate.network` gives it another one",
        ) from error
    return server


def hang_up(connection: socket.socket) -> None:
    """End a connection in both directions."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def other_speed(seed: int = 0) -> Callable[[bytes], bytes]:
    """What a UART hears at a quarter of the speed: a byte of noise for four."""
    noise = random.Random(seed)  # noqa: S311  (no secret)
    return lambda data: bytes(
        noise.choice(b"\x00\x80\xf8\xff\xfe\x1c\xe0") for _ in range((len(data) + 3) // 4)
    )


def shared(seed: int = 0) -> Callable[[bytes], bytes]:
    """What is left for a reader when a second one reads the same port: about half of the bytes."""
    which = random.Random(seed)  # noqa: S311  (no secret)

    def left(data: bytes) -> bytes:
        parts = [data[i : i + 8] for i in range(0, len(data), 8)]
        return b"".join(part for part in parts if which.random() < 0.5)

    return left
