"""The bytes of a crash state, read where they lie; nothing is booted and nothing is copied."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.errors import ConfigurationError
from harness.medium.extents import ZEROS, Extents
from harness.medium.files import SECTOR, copy_range

_CHUNK = 1 << 20


class StateReader:
    """The disk that a state file describes, for the length of a `with` block.

    ConfigurationError when it is no state file or one of its files is gone.
    """

    def __init__(self, state_file: Path) -> None:
        try:
            self._extents = Extents(state_file, apart_from=state_file)
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"{state_file}: {error}") from error
        self.size = self._extents.size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._extents.close()

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the disk."""
        return b"".join(self.chunks(offset, length))

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        """The same in pieces of at most 1 MiB."""
        for _, count, file, place in self._pieces(offset, length):
            for start in range(0, count, _CHUNK):
                size = min(_CHUNK, count - start)
                yield bytes(size) if file == ZEROS else _read(file, size, place + start)

    def copy(self, offset: int, length: int, target: Path) -> None:
        """Write a range to a new file, from its byte 0; what is zeros becomes holes."""
        with target.open("wb") as stream:
            os.ftruncate(stream.fileno(), length)
            for at, count, file, place in self._pieces(offset, length):
                if file != ZEROS:
                    copy_range(file, place, stream.fileno(), at - offset, count)

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, int, int, int]]:
        """(offset, length, open file or ZEROS, byte in it) of a range, in order."""
        if offset < 0 or offset + length > self.size:
            raise ConfigurationError(f"{length} bytes at {offset} are not on a disk of {self.size}")
        at, end = offset, offset + length
        while at < end:
            file, place, until = self._extents.locate(at // SECTOR)
            count = min(until * SECTOR, end) - at
            yield at, count, file, place + at % SECTOR
            at += count


def _read(file: int, length: int, place: int) -> bytes:
    """A file that ends before a sector of it does reads as zeros there, as on the medium."""
    return os.pread(file, length, place).ljust(length, b"\0")
