"""One scenario's result: what was done to which board, and what became of it.

Whether a record passed is worked out from verdict, expectation and invariants each time it is
read, so that no file can claim a pass that its own content does not bear out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, ClassVar

from pydantic import ConfigDict

from harness import schema
from harness.errors import ConfigurationError
from harness.judge.verdict import Invariant, NotChecked, Verdict


class Outcome(StrEnum):
    """What a record counts as at the gate."""

    PASSED = "passed"
    FAILED = "failed"  # the product is at fault
    LAB_ERROR = "lab-error"  # the bench was; says nothing about the product


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What was done to the board: the printed form that replays it, and every parameter."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    printed: str
    seed: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)  # JSON values


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Another product than the run's release, by its variants and its slot, whose verdict had to be
    the one expected: broken on purpose (it has been noticed), or right in another way."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    variants: tuple[str, ...]
    slot: schema.Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A try of a scenario before the one that counts; it ended in trouble of the lab (`error`)."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    error: str
    started: datetime  # UTC
    finished: datetime  # UTC
    console_logs: tuple[str, ...] = ()  # as those of a record
    timeline: tuple[dict[str, Any], ...] = ()


BROKEN = ("negative-control[", "crash[")  # how the ids of controls of broken products begin
CONTROLS = (*BROKEN, "correct-product[")  # and those of all controls


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One scenario's result; `scenario` is its id, for example `power-cut[write:50%/some:7]`.

    Raises ValueError when its parts contradict each other.
    """

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    scenario: str
    board: str
    machine: str
    expected: tuple[Verdict, ...]
    verdict: Verdict | None  # None: the scenario never got as far as a verdict
    boots: int
    invariants: tuple[Invariant, ...]
    timeline: tuple[dict[str, Any], ...]  # each {"seconds": since the start, "event": name, ...}
    started: datetime  # UTC
    finished: datetime  # UTC
    replay: str  # one shell command
    console_logs: tuple[str, ...] = ()  # relative to the run's folder, in the order of the boots
    fault: Fault | None = None
    error: str = ""  # the lab trouble that ended it
    not_checked: tuple[NotChecked, ...] = ()  # what nobody could look at: it counts as nothing
    control: Control | None = None  # of a control: it tells of the suite, not of the release
    earlier: tuple[Try, ...] = ()  # tries that the lab broke, oldest first: they count as nothing

    def __post_init__(self) -> None:
        problems = [*_contradictions(self), *_malformed(self)]
        if problems:
            raise ValueError(f"record {self.scenario or '(no scenario)'}: " + "; ".join(problems))

    @property
    def outcome(self) -> Outcome:
        """Passed, failed or lab-error. A broken invariant fails even if the lab then broke too. A
        control passes with the verdict that it had to have, whatever that is."""
        if self.control:
            noticed = Outcome.PASSED if self.verdict in self.expected else Outcome.FAILED
            return noticed if self.verdict else Outcome.LAB_ERROR
        if any(not invariant.holds for invariant in self.invariants):
            return Outcome.FAILED
        if self.verdict is None:
            return Outcome.LAB_ERROR
        if self.verdict.failed or self.verdict not in self.expected:
            return Outcome.FAILED
        return Outcome.PASSED

    @property
    def passed(self) -> bool:
        """Whether the verdict was expected, none of the failing ones, and all invariants hold."""
        return self.outcome is Outcome.PASSED

    @property
    def broken(self) -> tuple[Invariant, ...]:
        """The invariants that do not hold."""
        return tuple(invariant for invariant in self.invariants if not invariant.holds)

    def unchecked(self, name: str) -> str:
        """Why an invariant of that name was not checked; empty when it was."""
        if any(each.name == name for each in self.invariants):
            return ""
        told = [each.why for each in self.not_checked if each.name == name]
        return told[0] if told else "the scenario does not look at it"

    @property
    def all_logs(self) -> tuple[str, ...]:
        """The console logs of all tries."""
        return (*(log for each in self.earlier for log in each.console_logs), *self.console_logs)

    @property
    def seconds(self) -> float:
        """How long the scenario took."""
        return (self.finished - self.started).total_seconds()

    @property
    def why(self) -> str:
        """One line that says why it did not pass; empty when it did."""
        if self.passed:
            return ""
        reasons = [f"{i.name} does not hold: {i.detail}".rstrip(": ") for i in self.broken]
        if self.verdict is None:
            reasons.append(f"lab trouble: {self.error}")
        elif self.verdict.failed or self.verdict not in self.expected:
            reasons.insert(0, f"{self.verdict}, expected {' or '.join(self.expected)}")
        return "; ".join(reasons)

    def to_data(self) -> dict[str, Any]:
        """JSON data: the fields, and `outcome` for readers that only want that."""
        return {**schema.to_data(self), "outcome": str(self.outcome)}

    @classmethod
    def from_data(cls, data: dict[str, Any], *, what: str) -> "Record":
        """The reverse of `to_data`. Raises ConfigurationError, also when `outcome` is not borne
        out by the rest."""
        rest = dict(data)
        claimed = rest.pop("outcome", None)
        record = schema.from_json(cls, schema.to_bytes(rest), what=what)
        if claimed != record.outcome:
            raise ConfigurationError(
                f"{what}: says {claimed!r}, but its content comes to {str(record.outcome)!r}",
                details=f"  {record.scenario}: {record.why or 'nothing is wrong'}",
                hint="the file was changed by hand or by a bug: do not use it",
            )
        if record.to_data() != data:  # parts of other modules are not read as strictly
            raise ConfigurationError(f"{what}: has keys or values that no record has")
        return record


def standing(records: Iterable[Record]) -> dict[str, Record]:
    """The record that counts for each scenario: a failed one whenever it happened, else the
    newest."""
    return newest(sorted(records, key=lambda record: record.finished))


def newest(records: Iterable[Record]) -> dict[str, Record]:
    """The same of records that come in their order, oldest first. A failure is never forgiven by
    running again; lab trouble is."""
    counts: dict[str, Record] = {}
    for record in records:
        earlier = counts.get(record.scenario)
        if earlier is None or earlier.outcome is not Outcome.FAILED:
            counts[record.scenario] = record
    return counts


def _contradictions(record: Record) -> list[str]:
    problems = []
    if record.control:
        if not record.scenario.startswith(CONTROLS):
            problems.append(f"control: only of what begins with {' or '.join(CONTROLS)}")
        if not record.control.variants:
            problems.append("control: of the product itself, without a variant")
        bad = record.scenario.startswith(BROKEN)
        if any(verdict.failed is not bad for verdict in record.expected):
            problems.append("control: expected to pass what it must notice, or the other way round")
    for name in {each.name for each in record.invariants} & {n.name for n in record.not_checked}:
        problems.append(f"not_checked: {name} was")
    if not record.expected:
        problems.append("expected: empty, so no verdict could pass")
    if record.verdict is None and not record.error:
        problems.append("verdict: none, and no error that says why")
    if record.verdict is not None and record.error:
        problems.append("error: lab trouble cannot come with a verdict")
    if record.finished < record.started:
        problems.append("finished: before started")
    if record.boots < 0:
        problems.append("boots: below 0")
    return problems


def _malformed(record: Record) -> list[str]:
    problems = [f"{key}: empty" for key in ("scenario", "replay") if not getattr(record, key)]
    for each in (record, *record.earlier):
        for key in ("started", "finished"):
            if getattr(each, key).utcoffset() != timedelta(0):
                problems.append(f"{key}: not in UTC")
    problems += ["earlier: a try without its trouble" for each in record.earlier if not each.error]
    marks = [*record.timeline, *(mark for each in record.earlier for mark in each.timeline)]
    for number, mark in enumerate(marks):
        seconds, event = mark.get("seconds"), mark.get("event")
        if not isinstance(seconds, int | float) or not isinstance(event, str):
            problems.append(f"timeline.{number}: needs seconds (number) and event (text)")
    problems += [
        f"console_logs: {log} leaves the run's folder"
        for log in record.all_logs
        if not is_plain_path(log)
    ]
    return problems


def is_plain_path(name: str) -> bool:
    """Whether a name of a file stays in the folder that it is relative to."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name
