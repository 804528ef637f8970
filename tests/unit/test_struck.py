"""What a cut has struck, by the medium alone; and cuts that search for a change."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.clients.boot_selection import BootSelection, Slot, SlotChoice, SlotState
from harness.errors import DeviceError
from harness.evidence.aimed import landed
from harness.evidence.record import Record
from harness.faults.aim import Aim, StruckPhase, Sweep
from harness.judge.judge import Judge
from harness.judge.verdict import Invariant, Judgement, Verdict
from harness.product.release import Release
from harness.scenarios.aimed import Shot
from harness.scenarios.bench import Bench
from harness.scenarios.scenario import Scenario
from harness.scenarios.struck import where_struck
from harness.scenarios.suite.test_aimed_cut import Struck, bisected_cuts
from tests.unit.boards.fake import FakeBoard

KIB = 1 << 10
NEW = b"n" * (600 * KIB)
OLD = b"o" * len(NEW)  # what was flashed there
AT = 4096  # of the slot on the disk


def chosen(told: str) -> BootSelection:
    """`AB bad/3`: the order, and the state of slot B with its attempts."""
    order, choice = told.split()
    state, left = choice.split("/")
    return BootSelection(
        order=(Slot(order[0]), Slot(order[1])),
        generation=1,
        slots={
            Slot.A: SlotChoice(state=SlotState.GOOD, left=3),
            Slot.B: SlotChoice(state=SlotState(state), left=int(left)),
        },
    )


@pytest.fixture
def struck(tmp_path: Path) -> Callable[..., StruckPhase]:
    (tmp_path / "slot.img").write_bytes(NEW)
    (tmp_path / "disk.img").write_bytes(bytes(AT) + OLD + b"behind")

    def found(told: str, content: bytes, *, boots: int = 0, whole: bool = True) -> StruckPhase:
        choice = chosen(told)
        reads = SimpleNamespace(
            sha256=lambda at, length: hashlib.sha256(content[at - AT :][:length]).hexdigest()
        )
        judge = SimpleNamespace(
            medium=SimpleNamespace(
                copies=lambda: [choice, choice if whole else None],
                format=SimpleNamespace(counting=lambda _: choice, redundant=lambda _: whole),
            ),
            attempts=3,
            flashed=SimpleNamespace(
                layout={"slot-B": SimpleNamespace(offset=AT, length=len(OLD))},
                disk_image=tmp_path / "disk.img",
            ),
            board=SimpleNamespace(can=SimpleNamespace(medium_read=reads)),
        )
        new = SimpleNamespace(slot_image=tmp_path / "slot.img", slot=SimpleNamespace(size=len(NEW)))
        shot = Shot(target=Slot.B, boots=boots, asked=1.0, latency=0.0)
        return where_struck(cast(Judge, judge), shot, cast(Release, new))[0]

    return found


@pytest.mark.parametrize(
    ("told", "boots", "whole", "phase"),
    [
        ("AB bad/3", 0, True, StruckPhase.BEFORE_SWITCH),
        ("BA trial/3", 0, False, StruckPhase.SWITCH),
        ("BA trial/3", 0, True, StruckPhase.SWITCHED),
        ("BA trial/2", 1, True, StruckPhase.TRIED),
        ("BA good/3", 1, True, StruckPhase.COMMITTED),
        ("AB bad/3", 1, True, StruckPhase.REJECTED),
    ],
)
def test_what_was_struck_is_what_the_medium_says(
    struck: Any, told: str, boots: int, whole: bool, phase: StruckPhase
) -> None:
    assert struck(told, NEW, boots=boots, whole=whole) is phase


CONTENTS = {
    "as it was": OLD,
    "half": NEW[: 300 * KIB] + OLD[300 * KIB :],
    "less than is looked at at once": NEW[: 255 * KIB] + OLD[255 * KIB :],
    "out of order": OLD[: 256 * KIB] + NEW[256 * KIB :],
    "one byte": OLD[:-1] + b"n",
    "wiped": bytes(len(OLD)),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_before_write_is_a_slot_of_which_no_byte_was_written(struck: Any, name: str) -> None:
    phase = StruckPhase.BEFORE_WRITE if name == "as it was" else StruckPhase.WRITE
    assert struck("AB bad/3", CONTENTS[name]) is phase


class Searched:
    """A search over cuts whose phase changes at 3 s; what is told of one is what a test says."""

    def __init__(self, folder: Path, **broken: Any) -> None:
        self.records: list[Record] = []
        self.made: list[str] = []
        self._broken = broken
        bench = cast(Bench, SimpleNamespace(board=FakeBoard(), trouble=lambda _: None))
        self.scenario = Scenario(
            id="bisected-cuts[0s..8s/1000ms]",
            bench=bench,
            folder=folder,
            keep=self.records.append,
            replay="again",
            consoles=[],
        )

    def run(self, sweep: str = "0s..8s/1s") -> Record:
        with contextlib.suppress(AssertionError, DeviceError):
            bisected_cuts(self.scenario, Sweep.parse(sweep), self._strike, self._judged)
        [record] = self.records
        return record

    def _strike(self, aim: Aim) -> Struck:
        self.made.append(str(aim))
        if str(aim) == self._broken.get("refused"):
            raise DeviceError("refused the update")
        late = aim.seconds >= 3
        phase = StruckPhase.SWITCHED if late else StruckPhase.WRITE
        shot = Shot(target=Slot.B, boots=0, asked=1.0, latency=0.0)
        told: dict[str, object] = {"struck": str(phase), "missed": [], "at": str(aim)}
        return Struck(shot=shot, phase=phase, final="new" if late else "old", told=told)

    def _judged(self, struck: Struck) -> tuple[Judgement, frozenset[Verdict]]:
        if struck.told["at"] == self._broken.get("dies"):
            raise DeviceError("did not come up")
        holds = struck.told["at"] != self._broken.get("breaks")
        verdict = Verdict(struck.final)
        judgement = Judgement(
            verdict=verdict,
            final=struck.final,
            boots=1,
            invariants=(Invariant(name="data-unchanged", holds=holds, detail="lost"),),
        )
        return judgement, frozenset({verdict})


def test_a_search_goes_to_where_the_outcome_changes(tmp_path: Path) -> None:
    searched = Searched(tmp_path)
    record = searched.run()
    assert record.passed
    assert searched.made == [f"time:{each}s" for each in (0, 8, 4, 2, 3)]
    assert [(each.phase, each.cuts, each.failed) for each in landed([record])] == [
        *(("write", 2, 0), ("switched", 3, 0))
    ]


@pytest.mark.parametrize("what", ["breaks", "dies"])
def test_a_search_ends_with_the_first_cut_after_which_not_all_is_well(
    tmp_path: Path, what: str
) -> None:
    searched = Searched(tmp_path, **{what: "time:4s"})
    record = searched.run()
    assert searched.made[-1] == "time:4s"
    assert record.fault and record.fault.printed == "time:4s"
    assert not record.passed
    assert [(each.phase, each.cuts, each.failed) for each in landed([record])] == [
        *(("write", 1, 0), ("switched", 2, 1))
    ]


def test_what_fails_before_a_cut_is_not_told_of_the_one_before(tmp_path: Path) -> None:
    record = Searched(tmp_path, refused="time:4s").run()
    assert record.fault and record.fault.printed == "time:4s"
    assert "struck" not in record.fault.parameters
    assert [(each.phase, each.cuts, each.failed) for each in landed([record])] == [
        *(("write", 1, 0), ("switched", 1, 0))
    ]


def test_a_search_ends_at_a_millisecond(tmp_path: Path) -> None:
    """Neighbours that are a step apart as numbers of a computer are not."""
    searched = Searched(tmp_path)
    assert searched.run("2.998s..3.001s/1ms").passed
    assert searched.made[-1] == "time:3s"
