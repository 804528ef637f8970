"""An update that is asked for on trial, of a device that is made up: what of it is the device's."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.boards.share import Share
from harness.clients.client import DeviceStatus, Slot
from harness.errors import LabError
from harness.evidence.record import Record
from harness.judge.trouble import lab_trouble
from harness.judge.verdict import Judgement, Verdict
from harness.scenarios.bench import Bench
from harness.scenarios.scenario import Scenario
from tests.unit.boards.fake import FakeBoard
from tests.unit.suite_module import suite_module

OLD, NEW = (
    cast(Any, SimpleNamespace(version=version, slot=SimpleNamespace(sha256=version)))
    for version in ("1.0.0", "1.1.0")
)
LEFT = Judgement(verdict=Verdict.RECOVERED, final="old", boots=2, invariants=())
KEPT = Judgement(verdict=Verdict.NEW, final="new", boots=1, invariants=())


@dataclass
class OnTrial(FakeBoard):
    """Board, client, judge, server and bench in one: `version` runs and says `health`, when it is
    asked in the trial; `ends`: what becomes of it."""

    version: str = NEW.version
    health: str = "pending"
    ends: Judgement = LEFT
    got: Share = field(default_factory=Share)
    did: list[str] = field(default_factory=list)

    limits = SimpleNamespace(boot_seconds=390.0)

    @property
    def _itself(self) -> Any:
        return self

    board = client = server = _itself

    def trouble(self, problem: str) -> LabError | None:
        return lab_trouble(self, problem)

    def share(self) -> Share:
        return self.got

    def judge(self, *_: object, boots_before: int | None = None) -> Any:
        return self if boots_before is None else self.ends

    def running(self, release: object) -> None:
        self.did.append("running")

    def install(self, release: object) -> SimpleNamespace:
        return SimpleNamespace(ok=True)

    def must(self, done: bool, why: str) -> None:
        assert done

    def reboot(self, *, timeout: float) -> None:
        self.did.append("reboot")

    def be_ill(self, times: float = 1) -> None:
        self.did.append("ill" if times else "well")

    def wait_boots(self, count: int, timeout: float) -> None:
        self.did.append("boot")

    def status(self, timeout: float) -> DeviceStatus:
        return DeviceStatus(
            version=self.version,
            variants=(),
            slot=Slot.B,
            boot_selection=None,
            health=self.health,
            update_server="",
        )

    def offer(self, release: object) -> str:
        return "url"

    def start_install(self, url: str) -> None:
        self.did.append("install")

    def expect(self, pattern: str, timeout: float) -> str:
        assert self.did[-1] == "install"
        return "rolled back"


@pytest.fixture
def go(pytestconfig: pytest.Config, tmp_path: Path) -> Callable[[OnTrial], Record]:
    """Through the scenario: its record."""
    suite = suite_module(pytestconfig, "test_trial")

    def scenario(device: OnTrial) -> Record:
        kept: list[Record] = []
        scenario = Scenario(
            id="update-on-trial",
            bench=cast(Bench, device),
            folder=tmp_path,
            keep=kept.append,
            replay="again",
        )
        scenario.control = True  # the record says what it was
        scenario.second_update = lambda *_: None  # type: ignore[method-assign]
        releases = SimpleNamespace(variant_of=lambda *_, **__: NEW)
        suite.update_on_trial(device, releases, scenario, OLD, NEW)
        assert scenario.record
        return scenario.record

    return scenario


def test_a_version_that_is_left_when_its_time_is_over_passes(
    go: Callable[[OnTrial], Record],
) -> None:
    device = OnTrial()
    assert go(device).passed
    assert device.did == ["running", "reboot", "ill", "boot", "install", "well"]


@pytest.mark.parametrize(
    ("device", "broken"),
    [
        (OnTrial(health="ok", ends=KEPT), "not-committed"),
        (OnTrial(health="degraded: no server", ends=KEPT), "not-committed"),
        (OnTrial(health="rolled back: no server"), "not-left-early"),
        (OnTrial(version=OLD.version, health="ok"), "not-left-early"),
        (OnTrial(version=OLD.version), "not-left-early"),
    ],
    ids=lambda case: case if isinstance(case, str) else f"{case.version} {case.health}",
)
def test_what_a_device_did_too_early_is_its_failure(
    go: Callable[[OnTrial], Record], device: OnTrial, broken: str
) -> None:
    """A product that commits whatever answers, or gives a trial no time, was the lab's trouble: no
    verdict, and tried again."""
    record = go(device)
    assert (record.verdict, record.error) == (Verdict.INCONSISTENT, "")
    assert broken in [each.name for each in record.invariants if not each.holds]
    assert "install" not in device.did  # it is no trial any more


def test_who_got_no_time_is_not_to_blame(go: Callable[[OnTrial], Record]) -> None:
    device = OnTrial(version=OLD.version, got=Share(ran=10.0, waited=90.0))
    assert go(device).verdict is None


def test_of_what_nobody_knows_there_is_no_verdict(go: Callable[[OnTrial], Record]) -> None:
    with pytest.raises(LabError, match="not asked within the trial"):
        go(replace(OnTrial(), version="", did=[]))
