"""The instant of a power cut in an install, on a device that is made up: struck, or missed."""

import importlib
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.clients.boot_selection import Slot
from harness.clients.client import InstallResult
from harness.errors import DeviceError, LabError
from harness.faults.power import CutPhase, PowerFault
from harness.judge.judge import Judge
from harness.judge.verdict import Verdict
from harness.medium.model import Loss, PowerCut, Trigger
from harness.product.layout import Region
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.walk import Device as Model
from harness.scenarios.walk import WalkEvent
from tests.unit.boards.fake import FakeBoard
from tests.unit.suite_module import suite_module

LAYOUT = {"slot-A": Region(512, 512), "slot-B": Region(1024, 512)} | {
    "boot-selection": Region(8192, 1024)
}
SYSTEM = cast(Release, SimpleNamespace(layout=LAYOUT, slot=SimpleNamespace(size=512)))


@pytest.fixture
def moment(pytestconfig: pytest.Config) -> Any:
    return suite_module(pytestconfig, "moment")


@dataclass
class Device(FakeBoard):
    """`strikes`: when the cut does: in the install, after it (`writeback`), or never; `ends`: how
    the install does, where nothing cuts it: its exit code, or None for a link that dies."""

    strikes: str = "install"
    ends: int | None = 0
    is_on: bool = True
    did: list[str] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    idle_changes = 0

    def status(self, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(other_slot=Slot.B)

    def start_install(self, url: str) -> None:
        self.did.append("install")

    def wait_install(self, timeout: float) -> InstallResult:
        if self.strikes == "install":
            assert self.gone.wait(10)  # a frozen medium: nobody answers until the board is dead
        if self.strikes == "install" or self.ends is None:
            raise DeviceError("the link died")
        return InstallResult(
            ok=self.ends == 0, output="all of it", returncode=self.ends, message="end"
        )

    def arm(self, trigger: Trigger) -> None:
        self.did.append("arm")

    def disarm(self) -> None:
        self.did.append("disarm")

    def wait_cut(self, timeout: float, *, unless: Callable[[], bool] = lambda: False) -> bool:
        self.did.append("wait")
        second = self.did.count("wait") > 1
        if self.strikes == "install" or (second and self.strikes == "writeback"):
            self.gone.set()
            return True
        if second and self.ends is None:
            raise DeviceError("did not strike")
        while not second and not unless():
            pass
        return False

    def freeze(self) -> None:
        self.did.append("freeze")

    def cut(self, loss: Loss) -> PowerCut:
        self.did.append(f"cut {loss}")
        return PowerCut(position=0, loss=str(loss), unflushed=0, kept=())


@dataclass(frozen=True)
class Told:
    """A judge that has one thing to say."""

    found: SimpleNamespace
    asks_server: bool = True

    def judge(self, *, boots_before: int) -> SimpleNamespace:
        return self.found


def bench(device: Device) -> Bench:
    return cast(Bench, SimpleNamespace(board=device, client=device, offer=lambda _: "url"))


JUDGE = cast(
    Judge,
    SimpleNamespace(
        medium=SimpleNamespace(format=SimpleNamespace(CHANGE=1024, HALF=512)),
        flashed=SYSTEM,
        soak=0.0,
    ),
)


def test_a_cut_in_an_install(moment: Any) -> None:
    device = Device()
    assert moment.reach(bench(device), JUDGE, CutPhase.SWITCH, SYSTEM) is Slot.B
    assert device.did == ["arm", "install", "wait"]


def test_what_was_not_synced_is_written_after_the_install(moment: Any) -> None:
    device = Device(strikes="writeback")
    moment.reach(bench(device), JUDGE, CutPhase.SWITCH, SYSTEM)
    assert device.did == ["arm", "install", "wait", "wait"]


@pytest.mark.parametrize("ends", [0, 1])
def test_an_install_that_ends_without_the_cut_says_how(moment: Any, ends: int) -> None:
    """It was waited for until no install could take longer, and called the device's failure."""
    with pytest.raises(moment.Missed, match=r"ended \(end\) before .* in switch") as missed:
        moment.reach(bench(Device(strikes="never", ends=ends)), JUDGE, CutPhase.SWITCH, SYSTEM)
    assert missed.value.result.ok is (ends == 0)
    assert missed.value.details == "all of it"


@pytest.mark.parametrize("ends", [0, 1])
def test_only_what_is_refused_is_the_devices_failure(moment: Any, ends: int) -> None:
    """A client that writes only what differs may never come to nine tenths of a slot."""
    suite = importlib.import_module("harness.scenarios.suite.test_power_cut")
    device = Device(strikes="never", ends=ends)
    there = cast(Any, bench(device))
    there.running, there.judge = lambda _: None, lambda *_: JUDGE
    fault = PowerFault.parse("write:90%/none")
    with pytest.raises(DeviceError if ends else LabError, match="before the power could be cut"):
        suite.strike(there, fault, SYSTEM, SYSTEM)
    assert "disarm" in device.did


def test_who_cannot_be_asked_any_more_has_not_ended(moment: Any) -> None:
    """What takes the memory takes the SSH session, too."""
    moment.reach(bench(Device(strikes="writeback", ends=None)), JUDGE, CutPhase.SWITCH, SYSTEM)
    with pytest.raises(DeviceError, match="did not strike"):
        moment.reach(bench(Device(strikes="never", ends=None)), JUDGE, CutPhase.SWITCH, SYSTEM)


@pytest.mark.parametrize(
    ("strikes", "waits"), [("install", {"", "new"}), ("never", {"new"}), ("writeback", {"", "new"})]
)
def test_a_walk_cuts_a_client_that_has_nothing_to_write(
    moment: Any, strikes: str, waits: set[str]
) -> None:
    """Mender writes only what differs: where the version is in the slot already, no write comes."""
    suite = importlib.import_module("harness.scenarios.suite.test_walk")
    device = Device(strikes=strikes)
    walk = suite.Walk(
        bench=bench(device),
        judge=JUDGE,
        versions={"old": SYSTEM, "new": SYSTEM},
        bad={},
        slot=Slot.A,
    )
    walk.device = Model(waits=frozenset({"new"} if strikes == "never" else {""}))
    walk._boot = lambda event, begin: device.did.append(f"boot after {event}")
    walk.go(WalkEvent.parse("cut-switching/some:1"))
    ends = ["cut some:1", "boot after cut-switching/some:1"]
    assert device.did[-2:] == ends
    assert ("freeze" in device.did) is (strikes == "never")
    assert walk.device.waits == waits


def test_a_walk_whose_update_is_refused_before_the_cut_fails(moment: Any) -> None:
    suite = importlib.import_module("harness.scenarios.suite.test_walk")
    walk = suite.Walk(
        bench=bench(Device(strikes="never", ends=1)),
        judge=JUDGE,
        versions={"old": SYSTEM, "new": SYSTEM},
        bad={},
        slot=Slot.A,
    )
    with pytest.raises(moment.Missed):
        walk.go(WalkEvent.parse("cut-writing/all"))


@pytest.mark.parametrize(
    ("waits", "event", "found", "wrong"),
    [
        ("new", "reboot", ("new", 1, "B"), ""),
        ("new", "cut/all", ("new", 1, "B"), ""),
        ("new", "reboot", ("new", 2, "B"), "in 2 boots"),
        ("", "reboot", ("old", 1, "A"), ""),
        ("", "reboot", ("old", 3, "A"), "in 3 boots"),
        ("old", "reboot", ("old", 1, "B"), ""),
        ("old", "reboot", ("old", 4, "A"), "in 4 boots"),
        ("old", "reboot", ("old", 1, "A"), "from slot A"),  # it was installed in the other one
        ("bad", "reboot", ("old", 4, "A"), ""),
        ("new", "portal", ("old", 2, "A"), ""),
        ("new,", "reboot", ("old", 4, "A"), ""),  # who knows what was there
    ],
)
def test_a_walk_boots_what_waits_and_at_once(
    moment: Any, waits: str, event: str, found: tuple[str, int, str], wrong: str
) -> None:
    """What was called installed, and did not boot, ended in the version before; which was allowed,
    where that version was the one that had been asked for."""
    suite = importlib.import_module("harness.scenarios.suite.test_walk")
    final, boots, slot = found
    told = SimpleNamespace(
        verdict=Verdict.RECOVERED if boots > 1 else Verdict.NEW,
        final=final,
        boots=boots,
        slot=slot,
        invariants=(),
    )
    server = SimpleNamespace(be_ill=lambda *_: None)
    there = cast(Bench, SimpleNamespace(board=Device(), client=Device(), server=server))
    walk = suite.Walk(bench=there, judge=Told(told), versions={}, bad={}, slot=Slot.A)
    walk.device = Model(waits=frozenset(waits.split(",")))
    walk_event = WalkEvent.parse(event)
    with pytest.raises(DeviceError, match=wrong) if wrong else nullcontext():
        walk._boot(walk_event, lambda: None)
    if not wrong:
        assert (walk.device.runs, walk.slot) == (final, slot)
