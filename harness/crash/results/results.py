"""results.json of a recording: what the explorer found, as whoever reads it sees it.

The explorer writes the file, the report and the evidence read it. All is kept as it was written;
what follows from it (`good`, `exhaustive`, `problems`) is worked out each time it is read.
"""

import hashlib
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field, PlainValidator, ValidationInfo

from harness.crash.equivalence.families import Family
from harness.crash.recording.phases import Phase
from harness.crash.recording.recording import Recording
from harness.crash.recording.schema import Count, Seconds, Sha256, file_bytes, parsed
from harness.crash.results.contradictions import contradictions
from harness.crash.results.table import ResultTable
from harness.crash.states.cut import CrashState
from harness.errors import ConfigurationError
from harness.judge.verdict import Verdict

T = TypeVar("T")
FILE = "results.json"
SCHEMA = 3
_HINT = "explore the recording again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The update that was recorded; `start` and `end` are positions in its log. `model`: of the
    medium that was explored, `sd~8` for a card that may lose 8 writes that it has answered."""

    id: Sha256  # of the recording
    machine: str
    board: str
    model: Annotated[str, Field(pattern=r"^[a-z]+(~[1-9]\d{0,5})?$")]
    old: str
    new: str
    start: Count
    end: Count
    phases: tuple[Phase, ...]

    @property
    def window(self) -> int:
        """How many answered writes that card may lose."""
        return int(self.model.partition("~")[2] or 0)

    @property
    def first(self) -> int:
        """The first record: of the factory's first boot, where that was recorded."""
        return min([self.start, *(each.start for each in self.phases)])


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


def loss_at(at: int, state: CrashState) -> str:
    """The `loss` of a Point: a single cut at that position by its loss, any other state whole."""
    here = state.first.at == at and not state.nested
    return str(state.first.loss if here else state)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSummary:
    """One boot to a verdict; `decides` is how many cut points have their verdict from it."""

    id: str
    state: str
    verdict: Verdict
    final: str = ""
    boots: Count = 0
    seconds: Seconds = 0.0
    decides: Count = 0
    why: tuple[str, ...] = ()
    sample: bool = False
    nested: bool = False
    carried: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""  # from that recording
    ended: Seconds = 0.0  # since the epoch; 0: nobody knows

    @property
    def remarks(self) -> str:
        """What is special about it, and why it is bad, in one line."""
        words = ["a sample"] * self.sample + ["a second cut"] * self.nested
        words += [f"of recording {self.carried:.12}"] if self.carried else []
        return "; ".join([*words, *self.why])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A crash state that ends bricked or inconsistent; `count` cut points come to it."""

    state: str
    verdict: Verdict
    why: tuple[str, ...] = ()
    proof: str
    at: Count = 0
    count: Count = 1

    @property
    def reason(self) -> str:
        """Why, in one line."""
        return "; ".join(self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A state that was decided without a boot, booted all the same, and came out otherwise."""

    state: str
    expected: str
    got: str
    proof: str
    sample_proof: str
    why: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why, in one line."""
        return "; ".join(self.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """Second cuts, in the boot that follows a first one. `undecided` ones are no gap as long as
    each aspect of them has been booted; `missing`: boots that this takes yet, one at least for each
    boot whose own cut points have not been looked at."""

    cut_points: Count = 0
    distinct: Count = 0
    booted: Count = 0
    undecided: Count = 0
    missing: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many; `losses` maps kinds of losses to the number of cut points with one of them,
    `decided` the rule by which cut points got their verdict to their number. `distinct` counts the
    different contents among those that are compared whole: of Family ALL, NONE, SINGLE and TORN.
    `to_sample`: how many samples were asked for, as far as there are states to be sampled."""

    cut_points: Count
    losses: dict[Family, Count]
    distinct: Count
    booted: Count
    decided: dict[str, Count]
    undecided: Count
    sampled: Count
    to_sample: Count
    disagreements: Count
    came_back: Count = 0  # boots, of all kinds, that were rebooted after the probe and judged again
    one_way: Count = 0  # aspects from which none did, though a boot decides states that have them
    nested: Nested = field(default_factory=Nested)

    @property
    def drawn(self) -> int:
        """Cut points of families of which only some are tried."""
        return sum(number for family, number in self.losses.items() if family.sampled)

    @property
    def enumerated(self) -> int:
        """Cut points of families of which all are tried."""
        return self.cut_points - self.drawn


def _columns(kind: type[T], data: Any, info: ValidationInfo[int]) -> ResultTable[T]:
    """No more rows than the recording has positions: that is the context."""
    return ResultTable.read(kind, data, info.context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """How many kinds of states the real readers were given, how many boots decide them, and of
    which kinds they make something else than of the state that was booted: a state of each, and
    what differs. Those were told apart, and decided by themselves (`exploration.audit`).
    `covers`: a digest of which boot decides how much; when it is another one by now, the readers
    have not been asked about all.
    """

    kinds: Count
    boots: Count
    covers: Sha256
    odd: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The content of results.json; keys that are not named here are left to others."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True)
    recording: Recorded
    writes: Annotated[ResultTable[Write], PlainValidator(partial(_columns, Write))]
    counts: Counts
    verdicts: dict[Verdict, Count]
    points: Annotated[ResultTable[Point], PlainValidator(partial(_columns, Point))]
    proofs: tuple[ProofSummary, ...]
    bad: tuple[Bad, ...]
    disagreements: tuple[Disagreement, ...]
    audit: Audit | None
    timing: dict[str, Seconds]
    seed: Count
    complete: bool
    sha256: str = ""  # of the file

    @property
    def boots(self) -> list[ProofSummary]:
        """The proofs that are boots of this recording's states."""
        return [each for each in self.proofs if not each.carried]

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
            f"{counts.one_way:,} conditions have no boot that came back from the probe": (
                counts.one_way
            ),
            f"{counts.disagreements:,} states came out otherwise than they were decided": (
                counts.disagreements or self.disagreements
            ),
            "no cut point was explored": not counts.cut_points,
            "the real readers were not asked (no audit)": self.audit is None,
        }
        return [text for text, true in told.items() if true]


@dataclass(frozen=True, slots=True)
class _ResultsHead:
    schema: int


@dataclass(frozen=True, slots=True)
class _ResultsOrigin:
    recording: Recorded


def load(run: Path) -> Results:
    """Read `run`/results.json. Raises ConfigurationError, also when it is that of another
    recording, or contradicts itself."""
    file = run / FILE
    text = file_bytes(file, hint=f"it is made by: harness crash explore {run}")
    schema = parsed(_ResultsHead, text, file, hint=_HINT).schema
    if schema != SCHEMA:
        raise ConfigurationError(
            f"{file}: schema {schema} is not known, {SCHEMA} is",
            hint="it was written by another version of the harness: explore the recording again",
        )
    recording = Recording.load(run)
    told = parsed(_ResultsOrigin, text, file, hint=_HINT).recording
    if problems := _of_another(told, recording):
        raise ConfigurationError.of(str(file), problems, hint=_HINT)
    rows = recording.end + 1
    found = parsed(Results, text, file, hint=_HINT, context=rows)
    if problems := list(contradictions(found)):
        raise ConfigurationError.of(str(file), problems[:20], hint=_HINT)
    return replace(found, sha256=hashlib.sha256(text).hexdigest())


def recorded(recording: Recording, model: str) -> Recorded:
    """What results say of the recording they are of; `model`: see `Recorded`."""
    return Recorded(
        id=recording.id,
        machine=recording.machine,
        board=recording.board,
        model=model,
        old=recording.old.version,
        new=recording.new.version,
        start=recording.start,
        end=recording.end,
        phases=recording.phases,
    )


def _of_another(told: Recorded, recording: Recording) -> list[str]:
    """What says that the results are of another recording."""
    plain, cache, _ = told.model.partition("~")
    real = recorded(recording, told.model if cache else recording.model)
    if plain != recording.model:
        return [f"recording.model: {told.model}, but recording.json has {recording.model}"]
    return [
        f"recording.{each.name}: {has}, but recording.json has {wanted}"
        for each in fields(real)
        if (has := getattr(told, each.name)) != (wanted := getattr(real, each.name))
    ]
