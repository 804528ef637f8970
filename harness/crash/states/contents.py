"""Sector contents as small numbers: equal content, equal number, and never otherwise.

A crash state is a number for each sector that matters, so that states can be compared, hashed and
counted without touching their bytes again. Numbers are given out in the order in which contents are
met; behind them stand 128-bit BLAKE2b digests, so that "equal" is as good as byte for byte.
"""

import hashlib
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SECTOR = 512
ZERO = 0  # the number of a sector of zeros

Ids = npt.NDArray[np.uint32]

# Odd constants of splitmix64 (Steele, Lea, Flood 2014): spread (sector, content) over 64 bits.
_GOLDEN, _MIX1, _MIX2 = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)


class Contents:
    """All sector contents met so far; not thread-safe."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {digest(bytes(SECTOR)): ZERO}
        self._where: list[bytes | tuple[Path, int]] = [bytes(SECTOR)]
        # file -> places in it, ascending, and the numbers of the sectors from there on
        self._known: dict[Path, tuple[list[int], list[Ids]]] = {}

    def ids(self, data: bytes, source: Path | None = None, offset: int = 0) -> Ids:
        """The numbers of whole sectors of bytes; with `source`, they can be read again from there
        (file and byte offset) instead of being kept."""
        view = memoryview(data)
        found = np.empty(len(data) // SECTOR, np.uint32)
        for index in range(len(found)):
            piece = view[index * SECTOR : (index + 1) * SECTOR]
            key = digest(piece)
            number = self._ids.get(key)
            if number is None:
                number = self._ids[key] = len(self._where)
                self._where.append((source, offset + index * SECTOR) if source else bytes(piece))
            found[index] = number
        return found

    def of(self, path: Path, offset: int, count: int) -> Ids:
        """The numbers of `count` sectors of a file from byte `offset` on; zeros behind its end."""
        starts, known = self._known.get(path, ([], []))
        index = bisect_right(starts, offset) - 1
        if index >= 0:
            skip, odd = divmod(offset - starts[index], SECTOR)
            if not odd and skip + count <= len(known[index]):
                return known[index][skip : skip + count].copy()
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(count * SECTOR).ljust(count * SECTOR, b"\0")
        return self.ids(data, path, offset)

    def remember(self, path: Path, offset: int, ids: Ids) -> None:
        """These are the sectors from there on: `of` does not read them again."""
        starts, known = self._known.setdefault(path, ([], []))
        index = bisect_right(starts, offset)
        starts.insert(index, offset)
        known.insert(index, ids)

    def data(self, number: int) -> bytes:
        """The 512 bytes behind a number."""
        where = self._where[number]
        if isinstance(where, bytes):
            return where
        path, offset = where
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(SECTOR).ljust(SECTOR, b"\0")


def hashes(sectors: npt.NDArray[Any], ids: Ids) -> npt.NDArray[np.uint64]:
    """A 64-bit hash for each (sector, content); the XOR of all is the hash of a whole state.

    Two different ones of a million states are taken for equal with a probability below 10^-7;
    such a mistake would only be counted wrong, verdicts do not rest on it.
    """
    with np.errstate(over="ignore"):
        word = (sectors.astype(np.uint64) << np.uint64(32)) ^ ids.astype(np.uint64)
        word = (word + _GOLDEN) * _MIX1
        word ^= word >> np.uint64(31)
        word *= _MIX2
        word ^= word >> np.uint64(29)
        word *= _MIX1
        return word ^ (word >> np.uint64(32))


def digest(data: bytes | memoryview) -> bytes:
    """16 bytes that stand for a content."""
    return hashlib.blake2b(data, digest_size=16).digest()
