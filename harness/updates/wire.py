"""One side of a proxied connection: HTTP heads, exact writes, and how a connection can end.

It reads just enough HTTP/1.1 (RFC 9112) to know which bytes are the body of which response, and
passes every byte on as it came.
"""

import array
import asyncio
import email.message
import email.parser
import fcntl
import re
import socket
import struct
import termios
from dataclasses import dataclass, field
from pathlib import Path

from harness.deadline import Deadline

CHUNK = 64 * 1024
_ACKNOWLEDGED = 10.0  # seconds that the other side gets to take what was sent
_POLL = 0.001  # seconds between looks at the kernel's send queue, which cannot be waited for


class MalformedError(ConnectionError):
    """What came is no HTTP/1.1; the connection is good for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The start line and headers of a request or response."""

    raw: bytes
    words: tuple[str, ...]  # of the start line
    headers: email.message.Message = field(compare=False)

    def header(self, name: str) -> str:
        """The value of a header, empty without it; bytes that are no ASCII come as they can."""
        return str(self.headers.get(name, ""))

    @property
    def length(self) -> int | None:
        """Content-Length, None when the message has none."""
        value = self.header("Content-Length")
        return _number(value, "Content-Length") if value else None

    @property
    def status(self) -> int:
        """The status code of a response."""
        return _number(self.words[1], "status")

    @property
    def first(self) -> int:
        """The artifact position of a response's first body byte, from Content-Range."""
        found = re.match(r"bytes ([0-9]{1,18})-", self.header("Content-Range"))
        return int(found[1]) if found and self.status == 206 else 0


class Wire:
    """One of a connection's two ends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        # drain() then waits until the kernel has taken every byte
        writer.transport.set_write_buffer_limits(high=0)

    async def head(self) -> Head | None:
        """The next start line and headers; None when the other side has ended between messages."""
        try:
            raw = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise ConnectionError("ended within the headers") from end
            return None
        except asyncio.LimitOverrunError as end:
            raise MalformedError("headers without an end") from end
        start, _, rest = raw.partition(b"\r\n")
        headers = email.parser.BytesHeaderParser().parsebytes(rest)
        words = tuple(start.decode("latin-1").split(" ", 2))
        if len(words) < 2:
            raise MalformedError(f"no start line: {start[:80]!r}")
        found = Head(raw=raw, words=words, headers=headers)
        _ = found.length  # what nobody can read is not passed on
        return found

    async def read(self, most: int) -> bytes:
        """Up to `most` bytes, none when the other side has ended."""
        return await self._reader.read(most)

    async def send(self, data: bytes) -> None:
        """Hand all of `data` to the kernel; raises ConnectionError."""
        self._writer.write(data)
        await self._writer.drain()

    async def unacknowledged(self) -> int:
        """Wait until the other side has all bytes; returns how many it never took.

        A reset throws away what the kernel has not sent yet, so that without this the byte at
        which it strikes would be luck. SIOCOUTQ (tcp(7)) counts bytes that are not acknowledged.
        What the reader has not fetched from its own socket counts too, where that socket is on
        this host: QEMU's user network, reset with data still to read, was seen to lose one byte in
        the middle of what it passed on to the board, which no network does.
        """
        deadline = Deadline(_ACKNOWLEDGED)
        while (left := self._queued() + self._unread()) and not deadline.over:
            await asyncio.sleep(_POLL)
        return left

    @property
    def waits(self) -> bool:
        """Whether the other side has all that was sent to it, as `unacknowledged` tells."""
        return not self._queued() + self._unread()

    def reset(self) -> None:
        """End with a TCP reset: SO_LINGER with 0 seconds (socket(7))."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def close(self) -> None:
        """End in an orderly way, after all bytes that were sent."""
        self._writer.close()

    def abort(self) -> None:
        """Let go of the connection at once; safe to call twice."""
        self._writer.transport.abort()

    def _queued(self) -> int:
        queued = array.array("i", [0])
        fcntl.ioctl(self._writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return queued[0]

    def _unread(self) -> int:
        """Bytes in the receive queue of the other end's socket; 0 when it is not on this host."""
        connection = self._writer.get_extra_info("socket")
        ends = f"{_proc(connection.getpeername())} {_proc(connection.getsockname())} "
        with Path("/proc/net/tcp").open(encoding="ascii") as table:
            for line in table:
                if ends in line:
                    queues = line.split()[4]  # tx_queue:rx_queue, hexadecimal (proc(5))
                    return int(queues.partition(":")[2], 16)
        return 0


def _number(text: str, what: str) -> int:
    """Digits, and few of them (RFC 9110, 8.6 and 15)."""
    if not re.fullmatch(r"[0-9]{1,18}", text.strip(), re.ASCII):
        raise MalformedError(f"{what}: {text[:80]!r} is no number")
    return int(text)


def _proc(address: tuple[str, int]) -> str:
    """An IPv4 address and port as /proc/net/tcp writes it: both in hexadecimal, host byte order."""
    host, port = address
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"
