"""The data behind the report's drawing, small: one entry a log position, in columns.

A column is stored as run lengths, `[value, count, value, count, ...]`, and what rises from one
position to the next as differences; so 250,000 positions of a bulk write are a few numbers.
`strip.js` reads it.
"""

import shlex
from pathlib import Path
from typing import Any

from harness import project
from harness.crash.results.results import Point, Results, Write
from harness.crash.results.table import ResultTable, runs, steps
from harness.crash.states.cut import parse
from harness.judge.verdict import Verdict
from harness.medium.model import Loss

SHADES = ("none", "old", "new", "recovered", "undecided", "inconsistent", "bricked")  # worst last


class Names:
    """Gives texts small numbers, in the order in which they come."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The number of a text."""
        return self.known.setdefault(text, len(self.known))


def strip(results: Results, run: Path) -> dict[str, Any]:
    """All that the drawing needs, as JSON data."""
    return {
        "command": replay_words(run),
        "shades": SHADES,
        "phases": [[phase.name, phase.start, phase.end] for phase in results.recording.phases],
        "points": _points(results.points),
        "writes": _writes(results.writes),
    }


def replay_command(run: Path, state: str) -> str:
    """The command that boots a state on the bench; a nested state is named as a whole."""
    found = parse(state)
    at, loss = str(found.first.at), str(found.first.loss)
    cut = ["--state", state] if found.nested else ["--at", at, "--loss", loss]
    return f"{replay_words(run)} {shlex.join(cut)}"


def replay_words(run: Path) -> str:
    """The command without the state."""
    return shlex.join([*project.command(), "crash", "replay", str(run.resolve())])


def report_command(run: Path) -> str:
    """The command that shows the verdicts again."""
    return shlex.join([*project.command(), "crash", "report", str(run.resolve())])


def _points(points: ResultTable[Point]) -> dict[str, Any]:
    """What is known of the cuts at each position. A row is shade, cut points by verdict (in the
    order of `Verdict`) and undecided ones: positions share few different rows."""
    rows: dict[tuple[int, ...], int] = {}
    losses = Names()
    row = [rows.setdefault(_row(point), len(rows)) for point in points]
    loss = [losses.number(_relative(point)) for point in points]
    return {
        "at": steps(list(points.column("at"))),
        "row": runs(row),
        "booted": runs(points.column("booted")),
        "loss": runs(loss),
        "rows": list(rows),
        "losses": list(losses.known),
    }


def _row(point: Point) -> tuple[int, ...]:
    counted = (point.verdicts.get(verdict, 0) for verdict in Verdict)
    return (SHADES.index(point.shade), *counted, point.undecided)


def _relative(point: Point) -> str:
    """The loss of a position's worst state; the record that it names as `@` and how far back."""
    if "/" in point.loss:
        return f"={point.loss}"
    named = Loss.parse(point.loss).positions if point.loss else ()
    if not named:
        return point.loss
    back = ",".join(f"@{point.at - position}" for position in named)
    return point.loss.replace(",".join(map(str, named)), back, 1)


def _writes(writes: ResultTable[Write]) -> dict[str, Any]:
    kinds, regions, structures = Names(), Names(), Names()
    lengths = list(writes.column("length"))
    offsets = list(writes.column("offset"))
    ends = [0, *map(sum, zip(offsets, lengths, strict=True))]
    return {
        "position": steps(list(writes.column("position"))),
        "kind": runs(map(kinds.number, writes.column("kind"))),
        "fua": runs(map(int, writes.column("fua"))),
        "gap": runs(offset - end for offset, end in zip(offsets, ends, strict=False)),
        "length": runs(lengths),
        "milliseconds": steps(list(writes.column("milliseconds"))),
        "region": runs(map(regions.number, writes.column("region"))),
        "structure": runs(map(structures.number, writes.column("structure"))),
        "kinds": list(kinds.known),
        "regions": list(regions.known),
        "structures": list(structures.known),
    }
