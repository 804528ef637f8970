"""Arrays of content numbers that have most of their parts in common: each part is kept once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.crash.contents import Ids, digest

_LENGTH = 512  # numbers in a piece


class Pieces:
    """The pieces of all arrays that have been kept."""

    def __init__(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._table = np.empty((1, _LENGTH), np.uint32)

    def keep(self, ids: Ids) -> "Kept":
        """The same array, in pieces."""
        padded = np.zeros(-(-len(ids) // _LENGTH) * _LENGTH, np.uint32)
        padded[: len(ids)] = ids
        rows = [self._row(piece) for piece in padded.reshape(-1, _LENGTH)]
        return Kept(self, np.array(rows, np.int32), len(ids))

    def take(self, rows: npt.NDArray[np.int32]) -> Ids:
        """The pieces in those rows, one behind the other."""
        return self._table[rows].reshape(-1)

    def pick(self, rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int64]) -> Ids:
        """Single numbers: of what `take` finds, those in the columns."""
        found: Ids = self._table[rows[columns // _LENGTH], columns % _LENGTH]
        return found

    def _row(self, piece: Ids) -> int:
        key = digest(piece.tobytes())
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self._rows)
            if row == len(self._table):
                self._table = np.concatenate((self._table, np.empty_like(self._table)))
            self._table[row] = piece
        return row


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """An array that has been kept."""

    pieces: Pieces
    rows: npt.NDArray[np.int32]
    length: int

    def whole(self) -> Ids:
        """All of it."""
        return self.pieces.take(self.rows)[: self.length]

    def at(self, columns: npt.NDArray[np.int64]) -> Ids:
        """Some of it."""
        return self.pieces.pick(self.rows, columns)
