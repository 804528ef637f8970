"""A state file: a disk whose sectors lie in other files, where they are (a crash state).

    {"size": BYTES, "files": [PATH, ...], "extents": [[sector, count, file, byte offset], ...]}

Extents are sorted and do not overlap. Sectors that none of them names come from the first file,
at the same place; those of file -1 are zeros.

Standard library only: the nbdkit plugin imports this module in the system's Python.
"""

import json
import os
from array import array
from bisect import bisect_right
from pathlib import Path

from harness.medium.files import SECTOR

ZEROS = -1  # in place of an open file


class Extents:
    """An open state file. Raises ValueError when it is none, OSError when a file is missing."""

    def __init__(self, path: Path, *, apart_from: Path) -> None:
        """No file may lie in the folder `apart_from`, which is about to be written."""
        state = json.loads(path.read_text())
        try:
            self.size = int(state["size"])
            names = [Path(name) for name in state["files"]]
            extents = [tuple(map(int, extent)) for extent in state["extents"]]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is no state file: {error}") from error
        if self.size <= 0 or self.size % SECTOR or not names:
            raise ValueError(f"{path}: no files, or not whole sectors: {self.size} bytes")
        inside = [name for name in names if apart_from.resolve() in name.resolve().parents]
        if inside:
            raise ValueError(f"{path}: {inside[0]} belongs to the medium itself: copy it first")
        # One entry a stretch, up to where the next one starts; the last one is a sentinel.
        self._starts, self._files, self._places = array("q"), array("q"), array("q")
        self._open: list[int] = []
        try:
            for name in names:
                self._open.append(os.open(name, os.O_RDONLY | os.O_CLOEXEC))
            self._cover(path, extents)
        except (ValueError, OSError):
            self.close()
            raise

    def _cover(self, path: Path, extents: list[tuple[int, ...]]) -> None:
        sizes = [os.fstat(file).st_size for file in self._open]
        at, sectors = 0, self.size // SECTOR
        for extent in [*extents, (sectors, 0, ZEROS, 0)]:
            sector, count, file, place = extent
            if sector < at or count < 0 or sector + count > sectors:
                raise ValueError(f"{path}: extent {extent} overlaps, or is not on the disk")
            if not ZEROS <= file < len(sizes) or place < 0:
                raise ValueError(f"{path}: extent {extent} names no file")
            if file != ZEROS and place + count * SECTOR > sizes[file]:
                raise ValueError(f"{path}: extent {extent} is beyond the end of file {file}")
            if sector > at:
                if sector * SECTOR > sizes[0]:
                    raise ValueError(f"{path}: the first file ends before sector {sector}")
                self._add(at, 0, at * SECTOR)
            self._add(sector, file, place)
            at = sector + count

    def _add(self, start: int, file: int, place: int) -> None:
        self._starts.append(start)
        self._files.append(self._open[file] if file != ZEROS else ZEROS)
        self._places.append(place)

    def locate(self, sector: int) -> tuple[int, int, int]:
        """The open file (or ZEROS) that holds a sector, the byte where it lies in there, and the
        sector up to which it goes on like this."""
        index = bisect_right(self._starts, sector) - 1
        place = self._places[index] + (sector - self._starts[index]) * SECTOR
        return self._files[index], place, self._starts[index + 1]

    def close(self) -> None:
        """Give the files back."""
        for file in self._open:
            os.close(file)
        self._open.clear()
