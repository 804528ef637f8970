"""An update with faults around it, on a device that is made up: what is wanted of it, and when."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.clients.boot_selection import Slot
from harness.clients.client import InstallResult
from harness.errors import DeviceError
from harness.faults.power import CutPhase, PowerFault
from harness.faults.storage import MediumFault
from harness.judge.judge import Judge
from harness.judge.verdict import Judgement, Verdict
from harness.medium.model import Event, Failing, Trigger
from harness.product.layout import Region
from harness.product.release import Release
from harness.scenarios.asked import AskedFaults
from harness.scenarios.bench import Bench
from harness.scenarios.scenario import Scenario
from tests.unit.boards.fake import FakeBoard
from tests.unit.suite_module import suite_module

LAYOUT = {name: Region(512 * n, 512) for n, name in enumerate(("slot-A", "slot-B", "data"), 1)} | {
    "boot-selection": Region(8192, 1024)
}
SYSTEM = SimpleNamespace(layout=LAYOUT, slot=SimpleNamespace(size=512), version="2")


@pytest.fixture
def suite(pytestconfig: pytest.Config) -> Any:
    return suite_module(pytestconfig, "around")


@dataclass
class Device(FakeBoard):
    """`comes`: the slot that it comes up in while its medium fails, `installs`: what its client
    says, `answers`: whether anybody answers once its medium fails, `meets`: how often that."""

    comes: str = "A"
    installs: bool = True
    answers: bool = True
    meets: int = 1
    writeback: float = 120.0  # what takes longer ends when it is told so
    boots: int = 1
    is_on: bool = True
    did: list[str] = field(default_factory=list)
    triggers: list[Trigger | None] = field(default_factory=list)

    def fail(self, failings: Sequence[Failing], *, since: Trigger | None = None) -> int:
        self.did.append("fail" if failings else "well")
        self.triggers += [since] if failings else []
        return 0 if failings else self.meets

    def arm(self, trigger: Trigger) -> None:
        self.did.append("arm")

    def wait_cut(self, timeout: float, *, unless: Callable[[], bool] = lambda: False) -> bool:
        while not unless() and timeout > self.writeback:
            pass
        return False  # this one's install never comes to such a write

    def disarm(self) -> None:
        self.did.append("disarm")

    def power_on(self) -> None:
        self.did.append("on")
        self.is_on, self.boots = True, self.boots + 1

    def power_off(self) -> None:
        self.did.append("off")
        self.is_on = False

    def wait_boots(self, count: int, timeout: float) -> None:
        if self.boots < count:
            raise DeviceError("no further boot")

    # Its client.

    def status(self, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(other_slot=Slot.B)

    idle_changes = 0

    def start_install(self, url: str) -> None:
        self.did.append("install")

    def wait_install(self, timeout: float) -> InstallResult:
        self._answer()
        return InstallResult(ok=self.installs, output="", returncode=0, message="")

    def reboot(self, timeout: float) -> None:
        self._answer()
        self.did.append("reboot")
        self.boots += 1

    def _answer(self) -> None:
        if not self.answers and "fail" in self.did:
            raise DeviceError("nobody answers")

    # Its health, and its medium.

    def last(self, boot: int) -> str:
        if not self.comes:
            raise DeviceError("silence")
        return f"gateway-health: slot {self.comes}: degraded: read-only"

    def wait(self, boots: int) -> str:
        self.did.append("well?")
        return ""

    def content(self, slot: Slot) -> str:
        return "old" if slot is Slot.A else "new"


@dataclass
class Told:
    """A scenario that only listens."""

    broken: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    fault: object = None

    def must(self, name: str, holds: bool, detail: str = "") -> None:
        self.broken += [] if holds else [name]

    def injected(self, done: bool, why: str) -> None:
        self.unmet += [] if done else [why]


def around(suite: Any, device: Device, text: str, told: Told) -> Any:
    proxy = SimpleNamespace(requests=[], done=0, met=[])
    proxy.disarm = proxy.arm = proxy.wait_link_up = lambda *_: None
    server = SimpleNamespace(strange_answers=0, behave=lambda *_, **__: None)
    bench = SimpleNamespace(
        board=device, client=device, proxy=proxy, server=server, offer=lambda _: "url"
    )
    bench.must = lambda done, why: None if done else pytest.fail(why)
    judge = SimpleNamespace(
        medium=SimpleNamespace(
            content=device.content, format=SimpleNamespace(CHANGE=1024, HALF=512)
        ),
        flashed=SYSTEM,
        health=device,
        limits=SimpleNamespace(boots=6, boot_seconds=1.0),
        judge=lambda *, boots_before: Judgement(
            verdict=Verdict.OLD, final="old", boots=1, invariants=()
        ),
    )
    faults = AskedFaults(printed=text, medium=tuple(map(MediumFault.parse, text.split("+"))))
    return suite.Around(
        bench=cast(Bench, bench),
        scenario=cast(Scenario, told),
        judge=cast(Judge, judge),
        faults=faults,
        old=cast(Release, SYSTEM),
        new=cast(Release, SYSTEM),
    )


def test_a_medium_that_dies_in_an_install_leaves_the_old_version(suite: Any) -> None:
    device, told = Device(installs=False), Told()
    way = around(suite, device, "eio-write@medium/write:50%", told)
    way.go()
    assert device.did == ["fail", "install", "reboot", "off", "well", "on"]
    [trigger] = device.triggers
    assert trigger
    assert [(each.event, each.count, each.offset) for each in trigger.stages] == [
        (Event.BYTES, 256, LAYOUT["slot-B"].offset)
    ]
    assert (told.broken, told.unmet, way.expected) == ([], [], {Verdict.OLD})


def test_who_does_not_answer_any_more_is_switched_off_and_on(suite: Any) -> None:
    device, told = Device(answers=False), Told()
    around(suite, device, "eio-write@medium/write:50%", told).go()
    assert device.did == ["fail", "install", "off", "on", "off", "well", "on"]
    assert told.broken == []


def test_what_fails_in_the_trial_fails_from_its_boot_on(suite: Any) -> None:
    device, told = Device(), Told()
    way = around(suite, device, "forget-write@medium/first-boot", told)
    way.go()
    assert device.did == ["install", "fail", "reboot", "off", "well", "on"]
    [trigger] = device.triggers
    assert trigger and trigger.stages[0].name == "boot 2"
    assert (told.broken, told.unmet) == ([], [])
    assert way.expected == {Verdict.OLD, Verdict.NEW, Verdict.RECOVERED}


def test_what_fails_after_the_commit_begins_when_the_device_has_said_it(suite: Any) -> None:
    device, told = Device(comes="B"), Told()
    way = around(suite, device, "eio-write@medium/committed", told)
    way.go()
    assert device.did == ["install", "reboot", "well?", "fail", "reboot", "off", "well", "on"]
    assert (device.triggers, told.broken, way.expected) == ([None], [], {Verdict.NEW})


@pytest.mark.parametrize(
    ("text", "device", "broken"),
    [
        # It lives on in a version on trial whose attempts nobody can count.
        ("eio-write@medium/first-boot", Device(comes="B"), ["comes-up-good"]),
        ("eio-write@medium/committed", Device(comes="A"), ["comes-up-good"]),
        ("eio-write@medium/commit", Device(comes=""), ["comes-up-good"]),
        ("eio-write@medium/commit", Device(comes="B"), []),
        # Its disk refused half of the slot, and it says that all is well.
        ("eio-write@medium/write:50%", Device(installs=True), ["refused"]),
        ("forget-write@medium/write:50%", Device(installs=True), []),
        ("eio-read@medium/commit", Device(comes=""), []),  # nobody boots from that
        ("eio-write@slot-B/write:50%", Device(installs=False, comes=""), ["comes-up-good"]),
    ],
)
def test_what_is_wrong(suite: Any, text: str, device: Device, broken: list[str]) -> None:
    told = Told()
    around(suite, device, text, told).go()
    assert told.broken == broken


def test_what_was_never_met_is_told(suite: Any) -> None:
    told = Told()
    around(suite, Device(meets=0), "eio-write@medium/commit", told).go()
    assert told.unmet == ["the board never asked for what fails from commit on"]
    told = Told()
    around(suite, Device(installs=False), "eio-write@medium/commit", told).go()
    assert told.broken == ["installed"]  # refused before anything failed
    assert told.unmet == ["nothing was installed, so there was no trial"]
    told = Told()
    around(suite, Device(installs=False, meets=0), "eio-write@medium/switch", told).go()
    assert told.broken == ["installed"]


@pytest.mark.parametrize("installs", [True, False])
def test_a_cut_that_an_install_has_no_write_for_is_told(suite: Any, installs: bool) -> None:
    """Another fault ended the install before, or its client writes only what differs: the device
    was blamed for it after a quarter of an hour."""
    device, told = Device(installs=installs), Told()
    way = around(suite, device, "eio-write@medium/switch", told)
    way.faults = AskedFaults(printed="switch/none", power=PowerFault.parse("switch/none"))
    way.go()
    assert device.did == ["arm", "install", "disarm", "reboot"]
    [unmet] = told.unmet
    assert "before the power could be cut in switch" in unmet
    assert told.broken == ([] if installs else ["installed"])  # refused, and nothing was wrong


def test_every_phase_has_an_end(suite: Any) -> None:
    for phase in CutPhase:
        fault = MediumFault.parse(f"eio-write@medium/{phase}{':1' if phase.is_counted else ''}")
        assert suite.up_in(fault) <= {"old", "new"} and suite.up_in(fault)
        assert suite.ends_in(fault)
