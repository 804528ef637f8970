"""results.json of a recording: what the explorer found, as whoever reads it sees it.

The explorer writes the file, the report and the evidence read it. All is kept as it was written;
what follows from it (`good`, `exhaustive`, `problems`) is worked out each time it is read.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import PlainValidator, TypeAdapter, ValidationError

from harness.crash.columns import Columns
from harness.errors import ConfigurationError
from harness.verdict import Verdict

T = TypeVar("T")
FILE = "results.json"
SCHEMA = 3


class Family(StrEnum):
    """Kinds of losses, by how many of the writes in doubt go another way than the others."""

    ALL = "all"
    NONE = "none"
    SINGLE = "single"  # one is lost alone, or kept alone
    TORN = "torn"  # the newest is torn, at each of its sectors; all others are kept
    BORDER = "border"  # another one is, or one alone is kept in part; at the borders (`tears`)
    PAIR = "pair"  # two are lost, or kept, together
    SUBSET = "subset"  # a seeded coin for each of them

    @property
    def sampled(self) -> bool:
        """Whether only some of its losses are tried."""
        return self is Family.SUBSET

    @property
    def compared(self) -> bool:
        """Whether its states are compared by their whole content, and not only by what matters."""
        return self in (Family.ALL, Family.NONE, Family.SINGLE, Family.TORN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A named stretch of the log, from record `start` up to `end`."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The update that was recorded; `start` and `end` are positions in its log. `model`: of the
    medium that was explored, `sd~8` for a card that may lose 8 writes that it has answered."""

    machine: str
    board: str
    model: str
    old: str
    new: str
    start: int
    end: int
    phases: tuple[Phase, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One record of the log: offset and length in bytes, `milliseconds` since the start."""

    position: int
    kind: str  # write, zero, trim, flush or mark
    fua: bool = False
    offset: int = 0
    length: int = 0
    milliseconds: int = 0
    region: str = ""
    structure: str = ""
    phase: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """All cut points at one log position: `at` records had been issued."""

    at: int
    verdicts: dict[Verdict, int]
    undecided: int = 0
    booted: int = 0
    worst: str = ""
    loss: str = ""  # of the worst state; where none is known at this position, a whole state

    @property
    def state(self) -> str:
        """The worst crash state."""
        return self.loss if "/" in self.loss or not self.loss else f"{self.at}/{self.loss}"

    @property
    def shade(self) -> str:
        """What the position counts as: a failing verdict, else `undecided`, else the worst
        verdict; `none` where there is no cut point."""
        for verdict in (Verdict.BRICKED, Verdict.INCONSISTENT):
            if self.verdicts.get(verdict):
                return str(verdict)
        if self.undecided:
            return "undecided"
        seen = [verdict for verdict in Verdict if self.verdicts.get(verdict)]
        return str(seen[-1]) if seen else "none"


def loss_at(at: int, state: str) -> str:
    """The `loss` of a Point: a single cut at that position by its loss, any other state whole."""
    loss = state.removeprefix(f"{at}/")
    return state if "/" in loss else loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One boot to a verdict; `decides` is how many cut points have their verdict from it."""

    id: int | str
    state: str
    verdict: Verdict
    final: str = ""
    boots: int = 0
    seconds: float = 0.0
    decides: int = 0
    why: tuple[str, ...] = ()
    sample: bool = False
    nested: bool = False

    @property
    def remarks(self) -> str:
        """What is special about it, and why it is bad, in one line."""
        words = ["a sample"] * self.sample + ["a second cut"] * self.nested
        return "; ".join([*words, *self.why])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A crash state that ends bricked or inconsistent; `count` cut points come to it."""

    state: str
    verdict: Verdict
    why: str | tuple[str, ...] = ""
    proof: int | str = ""
    at: int = 0
    count: int = 1

    @property
    def reason(self) -> str:
        """Why, in one line."""
        return self.why if isinstance(self.why, str) else "; ".join(self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A state that was decided without a boot, booted all the same, and came out otherwise."""

    state: str
    expected: str
    got: str
    proof: int | str = ""
    sample_proof: int | str = ""
    why: str | tuple[str, ...] = ""

    @property
    def reason(self) -> str:
        """Why, in one line."""
        return self.why if isinstance(self.why, str) else "; ".join(self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """Second cuts, in the boot that follows a first one. `undecided` ones are no gap as long as
    each aspect of them has been booted; `missing`: boots that this takes yet."""

    cut_points: int = 0
    distinct: int = 0
    booted: int = 0
    undecided: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many; `losses` maps kinds of losses to the number of cut points with one of them,
    `decided` the rule by which cut points got their verdict to their number. `distinct` counts the
    different contents among those that are compared whole: of Family ALL, NONE, SINGLE and TORN."""

    cut_points: int
    losses: dict[Family, int]
    distinct: int
    booted: int
    decided: dict[str, int]
    undecided: int
    sampled: int
    disagreements: int
    nested: Nested = field(default_factory=Nested)

    @property
    def drawn(self) -> int:
        """Cut points of families of which only some are tried."""
        return sum(number for family, number in self.losses.items() if family.sampled)

    @property
    def enumerated(self) -> int:
        """Cut points of families of which all are tried."""
        return self.cut_points - self.drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The content of results.json; keys that are not named here are left to others."""

    recording: Recorded
    writes: Annotated[Columns[Write], PlainValidator(partial(Columns.read, Write))]
    counts: Counts
    verdicts: dict[Verdict, int]
    points: Annotated[Columns[Point], PlainValidator(partial(Columns.read, Point))]
    proofs: tuple[Proof, ...]
    bad: tuple[Bad, ...]
    disagreements: tuple[Disagreement, ...]
    timing: dict[str, Any]
    seed: int
    complete: bool
    sha256: str = ""  # of the file

    def count(self, verdict: Verdict) -> int:
        """How many cut points end in this verdict."""
        return self.verdicts.get(verdict, 0)

    @property
    def exhaustive(self) -> bool:
        """Whether every cut point has a verdict, and nothing speaks against one."""
        return not self.problems

    @property
    def good(self) -> bool:
        """Whether every cut point is known to end well."""
        failed = sum(self.count(verdict) for verdict in Verdict if verdict.failed)
        return not failed and not self.bad and self.exhaustive

    @property
    def problems(self) -> list[str]:
        """Why the verdicts do not cover all cut points, one line each; empty when they do."""
        counts = self.counts
        told = {
            "the exploration was ended before it was complete": not self.complete,
            f"{counts.undecided:,} cut points are undecided": counts.undecided,
            f"{counts.nested.missing:,} boots of second cuts are missing": counts.nested.missing,
            f"{counts.disagreements:,} sampled states came out otherwise than they were decided": (
                counts.disagreements or self.disagreements
            ),
            "no cut point was explored": not counts.cut_points,
        }
        return [*(text for text, true in told.items() if true), *self._contradictions()]

    def _contradictions(self) -> Iterator[str]:
        """Numbers in the file that do not add up."""
        counts = self.counts
        sums = {
            "verdicts": sum(self.verdicts.values()) + counts.undecided,
            "losses": sum(counts.losses.values()),
            "rules": sum(counts.decided.values()) + counts.undecided,
            "log positions": sum(self.points.column("undecided"))
            + sum(sum(each.values()) * n for each, n in self.points.counted("verdicts")),
        }
        each = (counts.decided, self.verdicts, counts.losses)
        if min([0, *(number for part in each for number in part.values())]) < 0:
            yield "a number of cut points is below 0"
        for what, total in sums.items():
            if total != counts.cut_points:
                yield f"the {what} add up to {total:,} of {counts.cut_points:,} cut points"


@dataclass(frozen=True, slots=True)
class _Head:
    schema: int


def load(run: Path) -> Results:
    """Read `run`/results.json. Raises ConfigurationError."""
    file = run / FILE
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{file}: {error.strerror}", hint=f"it is made by: harness crash explore {run}"
        ) from error
    schema = _parsed(_Head, text, file).schema
    if schema != SCHEMA:
        raise ConfigurationError(
            f"{file}: schema {schema} is not known, {SCHEMA} is",
            hint="it was written by another version of the harness: explore the recording again",
        )
    return replace(_parsed(Results, text, file), sha256=hashlib.sha256(text).hexdigest())


def _parsed(kind: type[T], text: bytes, file: Path) -> T:
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, found['loc'])) or 'the file'}: {found['msg']}"
            for found in error.errors(include_url=False, include_input=False)[:20]
        ]
        raise ConfigurationError.of(
            str(file), problems, hint="explore the recording again"
        ) from error
