"""Arrays of content numbers that have most of their parts in common: each part is kept once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.crash.states.contents import Ids, digest

_LENGTH = 512  # numbers in a piece


class ChunkStore:
    """The pieces of all arrays that have been kept."""

    def __init__(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._table = np.empty((1, _LENGTH), np.uint32)
        self._last = np.empty((0, _LENGTH), np.uint32), np.empty(0, np.int32)

    def keep(self, ids: Ids) -> "KeptArray":
        """The same array, in pieces. What it has in common with the one before is not looked at
        again."""
        padded = np.zeros((-(-len(ids) // _LENGTH), _LENGTH), np.uint32)
        padded.reshape(-1)[: len(ids)] = ids
        before, rows = self._last
        if before.shape == padded.shape:
            rows = rows.copy()
            changed = np.flatnonzero((padded != before).any(axis=1)).tolist()
        else:
            rows = np.empty(len(padded), np.int32)
            changed = list(range(len(padded)))
        for place in changed:
            rows[place] = self.row(padded[place])
        self._last = padded, rows
        return KeptArray(self, rows, len(ids))

    def take(self, rows: npt.NDArray[np.int32]) -> Ids:
        """The pieces in those rows, one behind the other."""
        return self._table[rows].reshape(-1)

    def pick(self, rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int64]) -> Ids:
        """Single numbers: of what `take` finds, those in the columns."""
        found: Ids = self._table[rows[columns // _LENGTH], columns % _LENGTH]
        return found

    def row(self, piece: Ids) -> int:
        """Where a piece is kept; equal ones are in the same place."""
        key = digest(piece.tobytes())
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self._rows)
            if row == len(self._table):
                self._table = np.concatenate((self._table, np.empty_like(self._table)))
            self._table[row] = piece
        return row


@dataclass(frozen=True, slots=True, eq=False)
class KeptArray:
    """An array that has been kept."""

    pieces: ChunkStore
    rows: npt.NDArray[np.int32]
    length: int

    def whole(self) -> Ids:
        """All of it."""
        return self.pieces.take(self.rows)[: self.length]

    def at(self, columns: npt.NDArray[np.int64]) -> Ids:
        """Some of it."""
        return self.pieces.pick(self.rows, columns)

    def put(self, columns: npt.NDArray[np.int64], ids: Ids) -> "KeptArray":
        """The same array with other numbers in some columns, which ascend: it costs as much as the
        pieces that these are in."""
        rows = self.rows.copy()
        touched, begins = np.unique(columns // _LENGTH, return_index=True)
        ends = [*begins[1:].tolist(), len(columns)]
        for piece, begin, end in zip(touched.tolist(), begins.tolist(), ends, strict=True):
            content = self.pieces.take(rows[piece : piece + 1])
            content[columns[begin:end] - piece * _LENGTH] = ids[begin:end]
            rows[piece] = self.pieces.row(content)
        return KeptArray(self.pieces, rows, self.length)

    @property
    def digest(self) -> bytes:
        """Equal for two arrays of the same length, kept in the same store, that are equal, and
        never otherwise."""
        return digest(self.rows.tobytes())
