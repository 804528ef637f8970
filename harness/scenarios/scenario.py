"""A scenario under way: collects what happens and leaves one record of evidence."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness import files, log
from harness.errors import DeviceError, IdentityChanged, LabError
from harness.evidence.record import Control, Fault, Record, Try
from harness.judge import identity, root
from harness.judge.inspection import Inspection
from harness.judge.judge import Judge
from harness.judge.trouble import require_lab
from harness.judge.verdict import Invariant, Judgement, NotChecked, Verdict
from harness.product.release import Release
from harness.scenarios import products
from harness.scenarios.bench import Bench, Judged

ROOM, ROOM_OF_A_BOOT = "room-kept", "room-kept-by-a-boot"
CUT_POINTS = "no-cut-point-ends-badly"  # each boot of an exploration was asked for trouble itself
_LITTLE = 1 << 20  # bytes: what a file system and a client's notes may take
# What is on a medium does not get there by being slow: held against a board however busy its host.
_HELD = {
    *Inspection.NAMES,
    identity.NAME,
    root.NAME,
    CUT_POINTS,
    *("version-known", "data-unchanged", ROOM, ROOM_OF_A_BOOT, "device-id-kept", "settings-kept"),
    *("refused", "boot-selection-untouched", "primary-untouched"),
}


@dataclass(kw_only=True)
class Scenario:
    """A context manager around one scenario: its record is written however the block ends.

    A DeviceError in the block is a failure of the product and recorded as `inconsistent` (unknown
    state is a failure, never a pass); a LabError leaves a record without verdict.
    """

    id: str
    bench: Bench
    folder: Path  # of the run: console logs go into `console/` below it
    keep: Callable[[Record], None]
    replay: str
    control: bool = False  # its record is the test's to judge, and to keep
    earlier: tuple[Try, ...] = ()  # tries of it that the lab broke
    consoles: Sequence[Path] | None = None  # of its boots, where they are not the bench's board's
    fault: Fault | None = None
    expected: frozenset[Verdict] = frozenset()
    record: Record | None = None
    _timeline: list[dict[str, Any]] = field(default_factory=list)
    _invariants: list[Invariant] = field(default_factory=list)
    _not_checked: list[NotChecked] = field(default_factory=list)
    _unmet: list[str] = field(default_factory=list)
    _judgement: Judgement | None = None

    def __enter__(self) -> Self:
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._sink = log.sink(self._note)
        self._sink.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        trouble = None
        if isinstance(error, DeviceError) and not isinstance(error, IdentityChanged):
            trouble = self.bench.trouble(str(error))
        elif error is None and (problem := self._slowness()):
            trouble = self.bench.trouble(problem)
        elif error is None and self._unmet and self.ends_well:
            trouble = LabError(f"{self.id}: {'; '.join(self._unmet)}")
        if trouble:
            self._excuse(trouble)
        self._measure()
        self._sink.__exit__(None, None, None)
        if error is None or isinstance(error, (DeviceError, LabError)):
            self._write(trouble or error)
        if error is None and self.record and not self.record.passed and not self.control:
            raise trouble or AssertionError(self.summary())

    def afresh(self) -> "Scenario":
        """The same scenario once more from its beginning, whose record is not kept."""
        return replace(
            self,
            control=True,
            fault=None,
            expected=frozenset(),
            record=None,
            consoles=None,
            _timeline=[],
            _invariants=[],
            _not_checked=[],
            _unmet=[],
            _judgement=None,
        )

    def summary(self) -> str:
        """Why it did not pass, and the command that repeats it."""
        why = self.record.why if self.record else "no record"
        return f"{self.id}: {why}\nrepeat with: {self.replay}"

    def conclude(
        self, judgement: Judgement, *, expected: Iterable[Verdict], final: str = ""
    ) -> None:
        """State the verdict; with `final`, the board must have ended in that version."""
        self._judgement = judgement
        self.expected = frozenset(expected)
        self._invariants += judgement.invariants
        self._not_checked += judgement.not_checked
        if final and judgement.final:
            self.must("final-version", judgement.final == final, f"ended in {judgement.final}")

    def judged(self) -> Judged:
        """The end of this scenario, for others with the same crash state."""
        if self._judgement is None:
            raise ValueError(f"{self.id} has no judgement yet")
        judgement = replace(self._judgement, not_checked=tuple(self._not_checked))
        return Judged(scenario=self.id, judgement=judgement, invariants=tuple(self._invariants))

    def adopt(self, judged: Judged, expected: Iterable[Verdict]) -> str:
        """Take over what an equal crash state came to; returns the scenario that booted it."""
        self._judgement = judged.judgement
        self.expected = frozenset(expected)
        own = {invariant.name for invariant in self._invariants}
        self._invariants += [each for each in judged.invariants if each.name not in own]
        left = {each.name for each in self._not_checked}
        self._not_checked += [e for e in judged.judgement.not_checked if e.name not in left]
        return judged.scenario

    def must(self, name: str, holds: bool, detail: str = "") -> None:
        """Add an invariant of this scenario's own."""
        self._invariants.append(Invariant(name=name, holds=holds, detail="" if holds else detail))

    def injected(self, done: bool, why: str) -> None:
        """Whether its fault was. One that was not has tested nothing, and what ends well then has
        no verdict; what fails without it fails all the same."""
        if not done:
            self._unmet.append(f"not injected: {why}")

    @property
    def _is_well(self) -> bool:
        """Whether it has a judgement, and nothing has failed so far."""
        judged = self._judgement is not None and not self._judgement.verdict.failed
        return judged and all(each.holds for each in self._invariants)

    @property
    def ends_well(self) -> bool:
        """Whether it would pass, as it is."""
        judgement = self._judgement
        return self._is_well and judgement is not None and judgement.verdict in self.expected

    def dwell(self, judge: Judge, judgement: Judgement) -> None:
        """What was well at its health check must be so a while later."""
        if judgement.verdict.failed:
            return
        try:
            self._invariants.append(judge.stays_well(judgement.services))
        except DeviceError as error:
            require_lab(self.bench.board, str(error))
            self.must("stays-well", False, str(error))

    def keeps_room(self, before: int, *, beside: int = 0, name: str = ROOM) -> int:
        """Of the room that there was before, no more than `beside` and a little may be gone;
        returns what there is now. A device that has failed already is not asked."""
        if not self._is_well:
            return before
        now = self.bench.room()
        told = f"{before - now} bytes of the data's file system are used up"
        self.must(name, before - now <= beside + _LITTLE, told)
        return now

    def boot_again(self, judge: Judge, judgement: Judgement) -> None:
        """What was committed in the boot that tried it must come up once more, and at once."""
        if judgement.verdict.failed:
            return
        try:
            again = self.bench.reboot(judge)
        except DeviceError as error:
            self.must(_name_of(error, "second-boot"), False, str(error))
            return
        same = (again.final, again.boots) == (judgement.final, 1) and not again.verdict.failed
        self.further("second-boot", again, same)

    def leave(self, invariant: str, why: str) -> None:
        """It is not checked: nobody can look at it, or there is nothing to try it with."""
        self._not_checked.append(NotChecked(name=invariant, why=why))

    def second_update(self, judge: Judge, judgement: Judgement) -> None:
        """The board must still be able to update: to the new version, or on from it."""
        if judgement.verdict.failed:
            return
        if judgement.final == "new":
            if why := products.no_way_on(judge.new, judge.old):
                self.leave("second-update", why)
                return
            onward = products.onward(judge.new, judge.old)
            judge = self.bench.judge(judge.new, onward, flashed=judge.flashed)
        try:
            second = self.bench.update(judge.new, judge, leave_off=True)
        except DeviceError as error:
            self.must(_name_of(error, "second-update"), False, str(error))
            return
        self.further("second-update", second, second.verdict is Verdict.NEW)

    def further(self, name: str, found: Judgement, holds: bool) -> None:
        """A judgement after the one that was concluded, as an invariant of that name."""
        broken = [each for each in found.invariants if not each.holds]
        self._invariants += [each for each in broken if each.name in _HELD]
        why = "; ".join(f"{each.name}: {each.detail}" for each in broken)
        self.must(name, holds, f"{found.verdict} {found.final}; {why}")

    def keep_control(self, other: Release, record: Record, *expected: Verdict) -> None:
        """Keep the record of a control that ended as it had to, or in lab trouble."""
        control = Control(variants=other.variants, slot=other.slot.sha256)
        self.keep(replace(record, control=control, expected=expected))

    @contextlib.contextmanager
    def of_control(self, other: Release, *expected: Verdict) -> Iterator[None]:
        """A block in which `other` is put through this scenario as a control. Trouble of the lab in
        it leaves a record, as it does of any scenario."""
        self.control = True
        try:
            yield
        except (LabError, DeviceError):
            if self.record and not self.record.verdict:
                self.keep_control(other, self.record, *expected)
            raise

    def _measure(self) -> None:
        """How this host served the board stands in the record, whatever came of it."""
        with contextlib.suppress(LabError):  # who cannot tell it now has been asked where it counts
            for kind, figures in self.bench.board.figures().items():
                log.emit(kind, board=self.bench.board.name, **figures)

    def _note(self, event: log.Event) -> None:
        if event["event"] == "progress":
            return
        noted = {key: value for key, value in event.items() if key != "time"}
        self._timeline.append({"seconds": round(time.monotonic() - self._clock, 2), **noted})

    def _excuse(self, trouble: LabError) -> None:
        """What the bench may be to blame for was not checked: a record that has a broken invariant
        is one of a failure."""
        blamed = [each for each in self._invariants if not each.holds and each.name not in _HELD]
        self._invariants = [each for each in self._invariants if each not in blamed]
        held = {each.name for each in self._invariants}
        for each in blamed:
            if each.name not in held:
                self.leave(each.name, f"{each.detail or 'it does not hold'}: {trouble.brief}")

    def _slowness(self) -> str:
        """Why it would not pass; empty when it would, or not for anything that a bench without time
        could be to blame for: a good version that is left because its time was over, say."""
        broken = [each for each in self._invariants if not each.holds]
        verdict = self._judgement.verdict if self._judgement else Verdict.INCONSISTENT
        if any(each.name in _HELD for each in broken):
            return ""
        told = [f"{each.name}: {each.detail}" for each in broken]
        told += [] if verdict in self.expected else [f"it ended {verdict}"]
        return "; ".join(told)

    def _write(self, error: BaseException | None) -> None:
        judged = self._judgement
        verdict = judged.verdict if judged else Verdict.INCONSISTENT
        if isinstance(error, DeviceError):
            verdict = Verdict.BRICKED if verdict is Verdict.BRICKED else Verdict.INCONSISTENT
            self.must(_name_of(error, "scenario-completed"), False, str(error))
        elif not all(i.holds for i in self._invariants) and not verdict.failed:
            verdict = Verdict.INCONSISTENT
        lab_trouble = isinstance(error, LabError)
        self.record = Record(
            scenario=self.id,
            board=self.bench.board.name,
            machine=self.bench.board.machine,
            fault=self.fault,
            expected=tuple(sorted(self.expected)) or (Verdict.NEW,),
            verdict=None if lab_trouble else verdict,
            boots=judged.boots if judged else 0,
            invariants=tuple(self._invariants),
            not_checked=tuple(self._not_checked),
            timeline=tuple(self._timeline),
            console_logs=tuple(self._keep_logs()),
            started=self._started,
            # A host's clock that is set meanwhile must not cost the record.
            finished=self._started + timedelta(seconds=time.monotonic() - self._clock),
            replay=self.replay,
            error=str(error) if lab_trouble else "",
            earlier=self.earlier,
        )
        if not self.control:  # it says nothing about the release of this run
            self.keep(self.record)

    def _keep_logs(self) -> list[str]:
        """Copy the console logs, one for each boot since flashing, into the evidence."""
        folder = self.folder / "console" / files.name_for(self.id)
        if self.earlier:
            folder /= f"try-{len(self.earlier) + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        kept = []
        logs = self.bench.board.console_logs if self.consoles is None else self.consoles
        for source in logs:
            target = folder / source.name
            shutil.copyfile(source, target)
            kept.append(str(target.relative_to(self.folder)))
        return kept


def _name_of(error: DeviceError, otherwise: str) -> str:
    """The invariant that a failure of the product breaks."""
    return identity.NAME if isinstance(error, IdentityChanged) else otherwise


def printable(path: Path) -> str:
    """A path for a replay command: relative where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
