"""Rows of a dataclass, kept as columns: a log's hundreds of thousands of positions are small then.

In JSON a column of integers is the run lengths of the differences between neighbours
(`[step, count, step, count, ...]`); any other one lists its values once, and has run lengths of
their numbers.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import accumulate, chain, groupby, repeat
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class ResultTable(Sequence[T]):
    """`rows` of a dataclass; each is made anew when it is asked for."""

    def __init__(self, kind: type[T], rows: Iterable[T] = ()) -> None:
        self._kind = kind
        hints = get_type_hints(kind)
        self._columns = {each.name: _Column(hints[each.name]) for each in fields(kind)}  # type: ignore[arg-type]
        for row in rows:
            for name, column in self._columns.items():
                column.append(getattr(row, name))

    @classmethod
    def read(cls, kind: type[T], data: Any, most: int) -> "ResultTable[T]":
        """From what `data` gave, of at most `most` rows: a run is as long as its number says.
        ValueError when it cannot have come from there."""
        found = cls(kind)
        if not isinstance(data, dict) or data.keys() != found._columns.keys():
            raise ValueError(f"wants the columns {', '.join(found._columns)}")
        for name, column in found._columns.items():
            try:
                column.read(data[name], most)
            except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
                raise ValueError(f"column {name}: {_first_line(error)}") from error
        if len({len(column.numbers) for column in found._columns.values()}) > 1:
            raise ValueError("the columns are not equally long")
        return found

    def data(self) -> dict[str, Any]:
        """As JSON data."""
        return {name: column.data() for name, column in self._columns.items()}

    def column(self, name: str) -> Iterator[Any]:
        """The values of a field."""
        return iter(self._columns[name])

    def counted(self, name: str) -> Iterator[tuple[Any, int]]:
        """The different values of a field, and how many rows have them."""
        column = self._columns[name]
        return ((column.value(number), n) for number, n in Counter(column.numbers).items())

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())).numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._kind(**{name: each[index] for name, each in self._columns.items()})

    def __iter__(self) -> Iterator[T]:
        names = list(self._columns)
        for values in zip(*self._columns.values(), strict=True):
            yield self._kind(**dict(zip(names, values, strict=True)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResultTable) and self.data() == other.data()

    __hash__ = None  # type: ignore[assignment]  # as of a list


class _Column:
    """The values of one field: integers, or numbers of values that are kept once."""

    def __init__(self, hint: Any) -> None:
        self._hint, self._plain = hint, hint is int
        self.numbers = array("q")
        self._values: list[Any] = []
        self._known: dict[Any, int] = {}

    def append(self, value: Any) -> None:
        if not self._plain:
            key = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
            number = self._known.setdefault(key, len(self._values))
            if number == len(self._values):
                self._values.append(value)
            value = number
        self.numbers.append(value)

    def data(self) -> Any:
        if self._plain:
            return steps(self.numbers)
        return {"values": self._values, "runs": runs(self.numbers)}

    def read(self, data: Any, most: int) -> None:
        if self._plain:
            self.numbers = array("q", accumulate(_unrolled(data, most)))
            return
        text = json.dumps(data["values"])
        self._values = TypeAdapter(list[self._hint]).validate_json(text, strict=True)  # type: ignore[name-defined]
        self.numbers = array("q", _unrolled(data["runs"], most))
        if self.numbers and not 0 <= min(self.numbers) <= max(self.numbers) < len(self._values):
            raise ValueError("a run of no value")

    def value(self, number: int) -> Any:
        return number if self._plain else self._values[number]

    def __getitem__(self, index: int) -> Any:
        return self.value(self.numbers[index])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.numbers) if self._plain else map(self._values.__getitem__, self.numbers)


def runs(values: Iterable[int]) -> list[int]:
    """Run lengths: `[value, count, ...]`."""
    return [number for value, group in groupby(values) for number in (value, sum(1 for _ in group))]


def steps(values: Sequence[int]) -> list[int]:
    """Run lengths of the differences between neighbours; the first value is its own."""
    before = iter((0, *values))
    return runs(after - earlier for earlier, after in zip(before, values, strict=False))


def _unrolled(data: Sequence[int], most: int) -> Iterator[int]:
    if not isinstance(data, list) or not all(type(number) is int for number in data):
        raise ValueError("is no list of whole numbers")
    if len(data) % 2:
        raise ValueError("a run without its length")
    counts = data[1::2]
    if counts and min(counts) < 1:
        raise ValueError(f"a run of {min(counts)}")
    if sum(counts) > most:
        raise ValueError(f"more than {most:,} rows")
    return chain.from_iterable(map(repeat, data[::2], counts))


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return error.errors(include_url=False, include_input=False)[0]["msg"]
    return str(error)
