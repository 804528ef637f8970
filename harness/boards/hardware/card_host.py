"""What is done with a card on the host of its reader: sent there as text, run by its python3.

Standard library only, and no import of ours: the host of an exporter has no harness. The device is
held exclusively (O_EXCL): the kernel refuses that for one that is mounted, or part of something
else, and lets nobody mount it meanwhile. Requests are lines of JSON on standard input (`write` is
followed by its bytes), and so are the answers (`read`'s by its bytes).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import struct
import sys
import time
from pathlib import Path
from typing import IO, Any

_SIZE, _READ_ONLY, _FLUSH = 0x80081272, 0x125E, 0x1261  # BLKGETSIZE64, BLKROGET, BLKFLSBUF
_PIECE = 1 << 20
_BUSY = 5.0  # seconds in which udev looks at a card that has just come, too


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


class HostCard:
    """A block device by its path; its methods are the requests."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._folder = (Path("/sys/class/block") / Path(device).resolve().name).resolve()
        self._fd = -1

    def look(self) -> dict[str, Any]:
        """Size (0: no card), serial, kind, whether it is read-only, what uses it."""
        fd = os.open(self._device, os.O_RDONLY)
        try:
            size = struct.unpack("Q", fcntl.ioctl(fd, _SIZE, bytes(8)))[0]
            read_only = struct.unpack("i", fcntl.ioctl(fd, _READ_ONLY, bytes(4)))[0]
        finally:
            os.close(fd)
        found = {"size": size, "read_only": bool(read_only), "serial": self._serial()}
        return {**found, "kind": self._kind(), "users": self.users()}

    def users(self) -> list[str]:
        """What has it, or a part of it."""
        parts = [self._folder, *self._folder.glob(f"{self._folder.name}*")]
        numbers = {_text(part / "dev") for part in parts}
        mounts = (line.split() for line in _text(Path("/proc/self/mountinfo")).splitlines())
        found = ["mounted on " + words[4] for words in mounts if words[2] in numbers]
        for part in parts:
            found += ["used by " + each.name for each in part.glob("holders/*")]
        return found

    def open(self, *, write: bool) -> dict[str, Any]:
        """Take it, for as long as this process lives."""
        until = time.monotonic() + _BUSY
        while True:
            try:
                self._fd = os.open(self._device, (os.O_RDWR if write else os.O_RDONLY) | os.O_EXCL)
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return {}

    def read(self, offset: int, length: int) -> bytes:
        """All of a range."""
        data = bytearray()
        while len(data) < length:
            at = offset + len(data)
            piece = os.pread(self._fd, min(_PIECE, length - len(data)), at)
            if not piece:
                raise OSError(errno.ENXIO, f"the card ends at byte {at}")
            data += piece
        return bytes(data)

    def write(self, offset: int, data: bytes) -> dict[str, Any]:
        """All of it, there."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, offset)
            view, offset = view[done:], offset + done
        return {}

    def zero(self, ranges: list[tuple[int, int]]) -> dict[str, Any]:
        """Where something else is: most of a card that was flashed before need not be written."""
        written = 0
        for offset, length in ranges:
            for at in range(offset, offset + length, _PIECE):
                count = min(_PIECE, offset + length - at)
                if self.read(at, count).count(0) != count:
                    self.write(at, bytes(count))
                    written += count
        return {"written": written}

    def sha256(self, ranges: list[tuple[int, int]]) -> dict[str, Any]:
        """One digest of all of them, in order."""
        digest = hashlib.sha256()
        for offset, length in ranges:
            for at in range(offset, offset + length, _PIECE):
                digest.update(self.read(at, min(_PIECE, offset + length - at)))
        return {"sha256": digest.hexdigest()}

    def flush(self) -> dict[str, Any]:
        """All is on the card, and what is read next comes from there."""
        os.fsync(self._fd)
        try:
            fcntl.ioctl(self._fd, _FLUSH, 0)
        except OSError as error:  # needs CAP_SYS_ADMIN; then the pages are dropped one by one
            if error.errno not in (errno.EACCES, errno.EPERM):
                raise
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return {}

    def _kind(self) -> str:
        if (self._folder / "loop").exists():
            return "loop"
        if self._folder.name.startswith("mmcblk"):
            return "mmc"
        return "usb" if "/usb" in str(self._folder) else "disk"

    def _serial(self) -> str:
        """Of a loop device the name of its file; else what card or reader calls itself. A reader
        that has no name has none: not that of the hub or the controller that it is plugged into."""
        if backing := _text(self._folder / "loop/backing_file"):
            return Path(backing).name
        for name in ("device/cid", "device/serial", "serial"):
            if found := _text(self._folder / name):
                return found
        for folder in self._folder.parents:
            if (folder / "idVendor").exists():  # the USB device
                return _text(folder / "serial")
        return ""


def serve(card: HostCard, source: IO[bytes], sink: IO[bytes]) -> None:
    """Answer until standard input ends."""
    for line in iter(source.readline, b""):
        request = json.loads(line)
        do, data, answer = request.pop("do"), b"", {}
        try:
            if do == "write":
                answer = card.write(request["offset"], source.read(request["length"]))
            elif do == "read":
                data = card.read(**request)
            else:
                answer = getattr(card, do)(**request)
        except OSError as error:
            answer = {"error": error.strerror or str(error), "users": card.users()}
        sink.write(json.dumps(answer).encode() + b"\n" + data)
        sink.flush()


if __name__ == "__main__":
    serve(HostCard(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer)
