"""Aimed cuts: when the relay is asked."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.boards.board import CommandResult
from harness.clients.boot_selection import Slot
from harness.clients.client import InstallResult
from harness.errors import DeviceError, LabError
from harness.faults.aim import Aim
from harness.product.release import Release
from harness.scenarios.aimed import latency_of, measure_latency, shoot, unmeasured
from harness.scenarios.bench import Bench
from tests.unit.boards.fake import FakeBoard

SIZE = 1000
DONE = InstallResult(ok=True, output="", returncode=0, message="")
REFUSED = InstallResult(ok=False, output="no", returncode=1, message="no")


@dataclass
class Relays:
    latencies: list[float] = field(default_factory=list)
    measures: bool = False

    @contextlib.contextmanager
    def measuring(self) -> Iterator[None]:
        self.measures = True
        yield
        self.measures = False


@dataclass
class Cut(FakeBoard):
    """Notes when its power went; prints into a log."""

    log: Path = Path()
    relay: Relays = field(default_factory=Relays)
    at: float = 0.0
    boots: int = 1
    takes: float = 0.0
    console_device: str = "/dev/console"

    @property
    def console_logs(self) -> list[Path]:
        return [self.log] * self.boots

    def say(self, text: str) -> None:
        with self.log.open("a") as file:
            file.write(text)

    def run(self, command: str, *, timeout: float) -> CommandResult:
        assert f">{self.console_device} &" in command
        for _ in range(200):
            self.say("harness-latency\n")
            if not self.is_on:
                raise DeviceError("the link died")
            time.sleep(0.02)
        return CommandResult(stdout="", stderr="", returncode=0)

    def power_off(self) -> None:
        time.sleep(self.takes)
        self.at, self.is_on = time.monotonic(), False
        if self.takes and self.relay.measures:
            self.relay.latencies.append(self.takes)


@dataclass
class Installing:
    """A client whose installation lasts until it is told to end, or the board is cut."""

    board: Cut
    result: InstallResult = DONE
    ends: threading.Event = field(default_factory=threading.Event)
    reboots: int = 0
    hangs: bool = False
    begins: Callable[[], None] = lambda: None

    def status(self, timeout: float) -> Any:
        return SimpleNamespace(other_slot=Slot.B)

    def start_install(self, url: str) -> None:
        threading.Thread(target=self.begins, daemon=True).start()

    def wait_install(self, timeout: float) -> InstallResult:
        while not self.ends.wait(0.01):
            if not self.board.is_on and not self.hangs:
                raise DeviceError("the link died")
        return self.result

    def reboot(self, timeout: float) -> None:
        self.reboots += 1
        self.board.boots += 1


@dataclass
class Rig:
    board: Cut
    client: Installing
    requests: list[Any] = field(default_factory=list)

    @property
    def bench(self) -> Bench:
        proxy = SimpleNamespace(requests=self.requests)
        made = SimpleNamespace(
            board=self.board, client=self.client, proxy=proxy, offer=lambda _: "http://x/y"
        )
        return cast(Bench, made)

    def shoot(self, aim: str) -> float:
        """Seconds from the beginning to the cut."""
        began = time.monotonic()
        self.shot = shoot(self.bench, Aim.parse(aim, size=SIZE), cast(Release, None))
        return self.board.at - began


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    log = tmp_path / "boot-1.log"
    log.write_text("Installing from before\n")
    board = Cut(log=log)
    board.is_on = True
    return Rig(board, Installing(board))


def test_a_time_is_met_with_the_latency_taken_off(rig: Rig) -> None:
    rig.board.relay.latencies += [0.3, 0.2, 9.0]
    assert 0.65 < rig.shoot("time:1s") < 1.2  # asked at 0.7: the median goes off
    assert (rig.shot.latency, rig.shot.boots, rig.shot.target) == (0.3, 0, Slot.B)


def test_a_pattern_is_what_the_console_shows_from_now_on(rig: Rig) -> None:
    threading.Timer(0.5, rig.board.say, ["Instal"]).start()
    threading.Timer(0.6, rig.board.say, ["ling now\n"]).start()
    assert 0.79 < rig.shoot("console:Installing.*/200ms") < 1.5


def test_a_byte_is_met_when_it_will_have_passed(rig: Rig) -> None:
    rig.board.relay.latencies.append(0.5)
    request = SimpleNamespace(method="GET", status=200, first=0, sent=0)
    rig.requests.append(request)

    # Requests from before do not count, this one does: `shoot` looks from its beginning on.
    def download() -> None:
        rig.requests.append(SimpleNamespace(method="GET", status=200, first=0, sent=1))
        while rig.board.is_on and rig.requests[-1].sent < SIZE:
            time.sleep(0.02)
            rig.requests[-1].sent += 10  # 500 a second

    request.sent = 999
    rig.client.begins = download
    rig.shoot("bytes:90%")
    # Not by the request from before; and asked half a second earlier, as fast as it is.
    assert 500 <= rig.requests[-1].sent < SIZE


def test_what_does_not_come_is_trouble_of_the_lab(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.scenarios.aimed._AFTER", 0.5)
    rig.client.ends.set()
    threading.Timer(0.3, rig.board.say, ["gateway-health: slot B: ok\n"]).start()
    with pytest.raises(LabError, match="has not come"):
        rig.shoot("console:never")
    assert rig.client.reboots == 1


def test_an_update_that_is_refused_is_the_device_s(rig: Rig) -> None:
    rig.client.result = REFUSED
    rig.client.ends.set()
    with pytest.raises(DeviceError, match="refused the update"):
        rig.shoot("console:never")


def test_the_latency_is_measured_by_a_cut(rig: Rig) -> None:
    rig.board.takes = 0.1
    measure_latency(rig.bench)
    assert (latency_of(rig.board), rig.board.is_on) == (0.1, False)


def test_it_prints_where_the_lab_file_says_or_is_not_measured(rig: Rig) -> None:
    rig.board.takes, rig.board.console_device = 0.1, "/dev/ttyS1"
    assert unmeasured(rig.board)
    measure_latency(rig.bench)  # what it runs there is looked at
    assert not unmeasured(rig.board)
    rig.board.relay.latencies.clear()
    rig.board.console_device = ""
    assert not unmeasured(rig.board)


def test_a_relay_that_nobody_can_aim_with_is_trouble_of_the_lab(rig: Rig) -> None:
    rig.board.takes = 1.2
    with pytest.raises(LabError, match=r"its power goes 1\.[2-9] s after"):
        measure_latency(rig.bench)
    with pytest.raises(LabError, match=r"its power goes 1\.[2-9] s after"):
        unmeasured(rig.board)


def test_an_update_that_outlives_its_power_is_trouble_of_the_lab(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.scenarios.aimed._ENDS", 0.3)
    rig.client.hangs = True
    with pytest.raises(LabError, match="has not ended with its power"):
        rig.shoot("time:0s")
    rig.client.ends.set()  # it has installed after all, on the board that is judged now
    time.sleep(0.3)
    assert rig.client.reboots == 0


def test_who_interrupts_a_shot_does_not_wait_for_the_update(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.scenarios.aimed._wait", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        rig.shoot("console:never")
    assert time.monotonic() - began < 5
