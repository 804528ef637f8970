"""A board's serial line, read all the time by one thread, and cut into boots.

labgrid's SerialDriver reads only while somebody expects something; what comes in between waits in
buffers that overflow, or in nobody's. Here `SerialTap` takes the place of the driver's port: one
thread reads the real one and writes each byte into the log of its boot at once, and the stock
driver (with labgrid's ShellDriver on it) reads those logs. A boot begins with the power, and with
each banner after the first: what a bootloader prints once a boot.
"""

import contextlib
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import pexpect

from harness.boards.console import Console
from harness.boards.hardware.within import told
from harness.errors import LabError

_WAIT = 0.2  # seconds that the thread waits at most for either side
_SLICE = 0.02  # the same for a port that cannot be waited for (RFC 2217)
_WINDOW = 512  # bytes of an unfinished line in which a banner may have begun
_FEW = 2000  # bytes, below which nothing is said of their quality
_GARBAGE = 0.2  # share of bytes that no console prints
_PRINTED = frozenset({*range(0x20, 0x7F), *b"\t\r\n\x1b\x08\x07\0"})


class Port(Protocol):
    """What is used of a pyserial port."""

    is_open: bool
    timeout: float | None

    def open(self) -> None:
        """Open it."""

    def close(self) -> None:
        """Close it."""

    def read(self, size: int = 1) -> bytes:
        """So many bytes, or what came before the timeout."""

    def write(self, data: bytes) -> int | None:
        """Send."""

    @property
    def in_waiting(self) -> int:
        """How many can be read now; of some ports only whether any can."""


class SerialLine:
    """The thread between a port and a `Console`. `banner` is what each boot prints once."""

    def __init__(self, board: str, port: Port, console: Console, *, banner: str) -> None:
        self.last = 0.0  # when the last byte came (time.monotonic), 0: never
        self._board = board
        self._port = port
        self._console = console
        self._boots = BootSplitter(console, banner)
        self._ended = threading.Event()
        self._failure = ""
        self._thread: threading.Thread | None = None
        self._odd = self._count = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        """Open the port and begin to read; LabError when it cannot be had."""
        with contextlib.suppress(AttributeError, ValueError):
            self._port.exclusive = True  # type: ignore[attr-defined]  # of a local one
        try:
            self._port.open()
        except Exception as error:  # pyserial's, the system's, socket's
            raise LabError(
                f"{self._board}: its serial port cannot be opened: {told(error)}",
                hint="does somebody else read it?",
            ) from error
        self._thread = threading.Thread(target=self._read, name=f"{self._board} serial")
        self._thread.daemon = True
        self._thread.start()

    def close(self) -> None:
        """Hang up."""
        self._ended.set()
        if self._thread:
            self._thread.join(5)
        peer = getattr(self._port, "_socket", None)
        with contextlib.suppress(OSError):
            self._port.close()
        if isinstance(peer, socket.socket):
            peer.close()  # pyserial forgets one whose other end has gone

    def power_on(self) -> None:
        """A boot begins with the power that comes now."""
        with self._lock:
            self._odd = self._count = 0
            self._boots.begin()

    def type(self, data: bytes) -> None:
        """Send at once, whether the board is on or not."""
        self._port.write(data)

    def check(self) -> None:
        """LabError when the line has failed, or carries what no console prints."""
        if self._failure:
            raise LabError(
                f"{self._board}: its serial port has failed: {self._failure}",
                hint="is the adapter there, and its exporter? does somebody else read it?",
            )
        if self._count > _FEW and self._odd > self._count * _GARBAGE:
            raise LabError(
                f"{self._board}: {self._odd} of {self._count} bytes on the serial port are no text",
                hint="is its speed that of the board?",
            )

    def wait_silence(self, seconds: float, deadline: float) -> bool:
        """Whether nothing comes for so long, before `deadline` (time.monotonic)."""
        begun = time.monotonic()
        while time.monotonic() - max(begun, self.last) < seconds:
            if time.monotonic() > deadline:
                return False
            self._ended.wait(min(0.02, seconds))
        return True

    def _read(self) -> None:
        try:
            while not self._ended.is_set():
                data = self._next()
                if data:
                    self.last = time.monotonic()
                    with self._lock:
                        self._count += len(data)
                        self._odd += sum(byte not in _PRINTED for byte in data)
                        self._boots.feed(data)
        except Exception as error:  # whatever it is: nobody hears the board any more
            if not self._ended.is_set():
                self._failure = told(error)

    def _next(self) -> bytes:
        """What has come, after what has been typed was sent."""
        waited: list[int] = []
        with contextlib.suppress(Exception):  # RFC 2217 has no descriptor
            waited.append(self._port.fileno())  # type: ignore[attr-defined]
        typed = self._console.input
        sources = [*waited, *([typed] if typed is not None else [])]
        try:
            ready, _, _ = select.select(sources, [], [], _WAIT if waited else 0)
        except (OSError, ValueError):
            for each in waited:
                os.fstat(each)  # where it is the port that has gone
            return b""  # the input was closed meanwhile: another boot, or none
        if typed is not None and typed in ready:
            with contextlib.suppress(OSError):
                self._port.write(os.read(typed, 1024))
        if waited and waited[0] not in ready:
            return b""
        wanted = 0 if waited else _SLICE
        if self._port.timeout != wanted:  # setting it speaks to the port
            self._port.timeout = wanted
        data = self._port.read(1)
        if data and (more := self._port.in_waiting):
            data += self._port.read(max(more, 4096) if waited else more)
        return data


class BootSplitter:
    """Writes what a board prints into the logs of its boots."""

    def __init__(self, console: Console, banner: str) -> None:
        self._console = console
        self._banner = re.compile(banner.encode())
        self._seen = False  # the banner of the running boot
        self._line = b""  # the end of what was written: an unfinished line

    def begin(self) -> None:
        """The next boot, whose banner is still to come."""
        self._console.begin_boot()
        self._seen, self._line = False, b""

    def feed(self, data: bytes) -> None:
        """The next bytes of the board; without a boot they are nobody's."""
        if not self._console.logs:
            return
        text, written = self._line + data, len(self._line)
        at = 0
        for found in self._banner.finditer(text):
            if found.end() <= written:  # it has been counted
                continue
            if self._seen:
                self._write(text[at : found.start()], max(0, written - at))
                if written > found.start():  # its beginning is in the log of the boot before
                    self._shorten(written - found.start())
                self._console.begin_boot()
                at, written = found.start(), found.start()
            self._seen = True
        self._write(text[at:], max(0, written - at))
        self._line = text[at:].rpartition(b"\n")[2][-_WINDOW:]

    def _write(self, data: bytes, already: int) -> None:
        if data[already:]:
            with self._console.logs[-1].open("ab") as log:
                log.write(data[already:])

    def _shorten(self, count: int) -> None:
        log = self._console.logs[-1]
        os.truncate(log, max(0, log.stat().st_size - count))


class SerialTap:
    """What labgrid's SerialDriver takes for its pyserial port: the console's logs and FIFO."""

    def __init__(self, port: Any, console: Console) -> None:
        self.real = port
        self.line: SerialLine | None = None
        self.timeout: float | None = 0.0
        self.is_on: Callable[[], bool] = lambda: True
        self._console = console
        self._buffer = b""

    def __setattr__(self, name: str, value: Any) -> None:
        """Where the port is and how fast: what the driver says of that is for the real one."""
        if name in ("port", "baudrate"):
            setattr(self.real, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def port(self) -> Any:
        """Where the real one is."""
        return self.real.port

    @property
    def in_waiting(self) -> int:
        """How many bytes can be read now."""
        self._buffer = self._buffer or self._console.read(0)
        return len(self._buffer)

    def open(self) -> None:
        """Begin to read the real port."""
        if self.line:
            self.line.open()

    def close(self) -> None:
        """Hang up."""
        if self.line:
            self.line.close()

    def read(self, size: int = 1) -> bytes:
        """The next bytes of the console; none when there are none in time."""
        if self.line:
            self.line.check()
        until = time.monotonic() + (self.timeout or 0.0)
        while not self._buffer:
            alive = self.is_on()
            self._buffer = self._console.read(min(0.5, max(0.0, until - time.monotonic())))
            if self._buffer or time.monotonic() >= until:
                break
            if not alive:
                raise pexpect.TIMEOUT("the board is off")
            if self.line:
                self.line.check()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def write(self, data: bytes) -> int:
        """Type."""
        return self._console.write(data)

    def forget(self) -> None:
        """What was read and not taken."""
        self._buffer = b""
