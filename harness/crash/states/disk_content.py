"""What lies under a write log, in content numbers: a flashed image, or what a log left of one."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.crash.states.chunks import KeptArray
from harness.crash.states.contents import SECTOR, Contents, Ids

Sectors = npt.NDArray[np.int64]  # in ascending order


class DiskContent(ABC):
    """The content of a medium at one time."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    @abstractmethod
    def at(self, sectors: Sectors) -> Ids:
        """Of any sectors."""

    @abstractmethod
    def changed(self) -> Sectors:
        """Where it may differ from the image under all logs."""

    def numbers(self, sector: int, count: int) -> Ids:
        """Of a range."""
        return self.at(np.arange(sector, sector + count))

    def number(self, sector: int) -> int:
        """Of one sector; kept."""
        found = self._numbers.get(sector)
        if found is None:
            found = self._numbers[sector] = int(self.numbers(sector, 1)[0])
        return found


class Image(DiskContent):
    """An image file, read when asked for."""

    def __init__(self, contents: Contents, path: Path) -> None:
        super().__init__()
        self._contents, self._path = contents, path

    def at(self, sectors: Sectors) -> Ids:
        """Of any sectors; zeros behind the image's end."""
        pieces = [
            self._contents.of(self._path, first * SECTOR, count) for first, count in _runs(sectors)
        ]
        return np.concatenate([np.empty(0, np.uint32), *pieces])

    def changed(self) -> Sectors:
        """Nowhere."""
        return np.empty(0, np.int64)


class Overlay(DiskContent):
    """Another one, `sectors` of which have become `ids`."""

    def __init__(self, under: DiskContent, sectors: Sectors, ids: KeptArray) -> None:
        super().__init__()
        self._under, self._sectors, self._ids = under, sectors, ids

    def at(self, sectors: Sectors) -> Ids:
        """Of any sectors."""
        found = np.empty(len(sectors), np.uint32)
        columns = np.searchsorted(self._sectors, sectors)
        changed = columns < len(self._sectors)
        changed[changed] = self._sectors[columns[changed]] == sectors[changed]
        found[changed] = self._ids.at(columns[changed])
        found[~changed] = self._under.at(sectors[~changed])
        return found

    def changed(self) -> Sectors:
        """What this log writes, or one under it."""
        return np.union1d(self._under.changed(), self._sectors)


def _runs(sectors: Sectors) -> Iterator[tuple[int, int]]:
    """(first, count) of neighbouring sectors."""
    for run in np.split(sectors, np.flatnonzero(np.diff(sectors) != 1) + 1):
        if len(run):
            yield int(run[0]), len(run)
