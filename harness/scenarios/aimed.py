"""Aimed power cuts: an update goes on by itself, and the power goes at what can be seen of it.

What was struck is looked up afterwards (`harness.scenarios.struck`). Works on every board; on one
that QEMU plays the power goes at once, and what no flush has made stable is lost.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.boards.board import Board
from harness.boards.hardware.relay import SLOW
from harness.clients.boot_selection import Slot
from harness.clients.gateway import HEALTH_LINE
from harness.errors import DeviceError, LabError
from harness.faults.aim import Aim, AimKind
from harness.judge.provision import BOOT_SECONDS, DOWNLOAD_AND_INSTALL_SECONDS
from harness.log import emit, step
from harness.product.release import Release
from harness.scenarios.bench import Bench

_POLL = 0.002  # seconds: what is aimed at is some 10 ms long
_AFTER = 10.0  # seconds that a cut may come after the last line of an update
_RATE = 1.0  # seconds over which a download's speed is measured
_CHATTER = "while :; do echo harness-latency; done >{device} & sleep 20; kill $!"
_ENDS = 60.0  # seconds in which an update ends that has lost its board


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A cut that was made: the slot that was updated, boots since it began (0: still the old
    version's), and the relay's latency that was reckoned with. `asked`: seconds since then."""

    target: Slot
    boots: int
    asked: float
    latency: float


@dataclass
class _Update:
    """The update, in a thread of its own: it knows nothing of the cut."""

    bench: Bench
    result: Any = None
    rebooting: bool = False
    problem: DeviceError | LabError | None = None
    cut: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Wait for the install's end, then reboot."""
        try:
            self.result = self.bench.client.wait_install(DOWNLOAD_AND_INSTALL_SECONDS)
            if self.result.ok and not self.cut:
                self.rebooting = True
                self.bench.client.reboot(timeout=60)
        except (DeviceError, LabError) as error:
            if not self.cut:  # else it is the cut itself
                self.problem = error
        finally:
            self.ended.set()


def shoot(bench: Bench, aim: Aim, new: Release) -> Shot:
    """Update the board that runs to `new` and cut the power where `aim` says; the board is off.
    LabError when what was aimed at did not come, DeviceError when the update itself failed."""
    board, latency = bench.board, latency_of(bench.board)
    target = bench.client.status(timeout=60).other_slot
    boots, heard = board.boots, _Heard(board)
    url, passed = bench.offer(new), len(bench.proxy.requests)
    with step("aimed cut", board=board.name, aim=str(aim), latency=latency):
        bench.client.start_install(url)
        began = time.monotonic()
        update = _Update(bench)
        thread = threading.Thread(target=update.run, name="update", daemon=True)
        thread.start()
        due = _when_due(aim, bench, heard, passed, began=began, latency=latency)
        try:
            _wait(due, update, board, boots)
            asked = time.monotonic() - began
        finally:
            update.cut = True  # whatever comes now: it reboots nothing any more
        board.power_off()
        thread.join(_ENDS)
        if thread.is_alive():
            raise LabError(f"{board.name}: its update has not ended with its power")
    return Shot(target=target, boots=board.boots - boots, asked=round(asked, 3), latency=latency)


def latency_of(board: Board) -> float:
    """What the relay takes, in seconds: the median of what was measured; 0 where nothing was.
    LabError for one that nobody could aim with."""
    found = sorted(getattr(getattr(board, "relay", None), "latencies", []))
    latency = float(found[len(found) // 2]) if found else 0.0
    if latency > SLOW:
        raise LabError(
            f"{board.name}: its power goes {latency:.1f} s after the relay was asked",
            hint="a cut that late strikes something else (harness doctor)",
        )
    return latency


def unmeasured(board: Board) -> bool:
    """Whether it has a relay whose latency nobody knows yet, and can be made to print."""
    relay, device = getattr(board, "relay", None), getattr(board, "console_device", "")
    return bool(relay is not None and device and not latency_of(board))


def measure_latency(bench: Bench) -> None:
    """Cut a board that is up while it talks without a break: then its last byte tells when the
    power went."""
    board: Any = bench.board
    with step("measure latency", board=board.name):
        heard = _Heard(board)
        talk = threading.Thread(target=_chatter, args=[board], daemon=True)
        talk.start()
        deadline = time.monotonic() + 20
        while b"harness-latency" not in heard.text():
            if time.monotonic() > deadline:
                raise LabError(f"{board.name}: its console shows nothing of what is written to it")
            time.sleep(_POLL)
        time.sleep(0.5)
        with board.relay.measuring():
            board.power_off()
        talk.join(30)
        if not latency_of(board):
            raise LabError(f"{board.name}: the latency of its relay could not be measured")


class _Heard:
    """What a board says from now on, in whichever boot."""

    def __init__(self, board: Board) -> None:
        self._board = board
        logs = board.console_logs
        self._log = max(0, len(logs) - 1)
        self._offset = logs[-1].stat().st_size if logs else 0
        self._text = bytearray()

    def text(self) -> bytearray:
        """All of it."""
        logs = self._board.console_logs
        while self._log < len(logs):
            with logs[self._log].open("rb") as log:
                log.seek(self._offset)
                data = log.read()
            self._text += data
            self._offset += len(data)
            if data or self._log == len(logs) - 1:
                break
            self._log, self._offset = self._log + 1, 0
        return self._text


def _when_due(
    aim: Aim, bench: Bench, heard: _Heard, passed: int, *, began: float, latency: float
) -> Callable[[], float | None]:
    """What says when (time.monotonic) the relay must be asked, or None: nobody knows yet."""
    if aim.kind is AimKind.TIME:
        return lambda: began + aim.seconds - latency
    if aim.kind is AimKind.CONSOLE:
        pattern = re.compile(aim.pattern.encode())
        seen: list[float] = []

        def shown() -> float | None:
            if not seen and pattern.search(heard.text()):
                seen.append(time.monotonic())
            return seen[0] + aim.seconds - latency if seen else None

        return shown
    return _Download(bench, aim.byte, passed, latency).due


class _Download:
    """How far the board has got the artifact, by what the proxy has passed on."""

    def __init__(self, bench: Bench, byte: int, passed: int, latency: float) -> None:
        self._bench = bench
        self._byte = byte
        self._passed = passed
        self._latency = latency
        self._seen: list[tuple[float, int]] = []

    def due(self) -> float | None:
        """Now, when the byte will have passed by the time that the power goes."""
        found = [
            each.first + each.sent
            for each in self._bench.proxy.requests[self._passed :]
            if each.method == "GET" and each.status in (200, 206) and each.sent
        ]
        if not found:
            return None
        now, at = time.monotonic(), max(found)
        self._seen = [each for each in self._seen if now - each[0] < _RATE] + [(now, at)]
        then, before = self._seen[0]
        rate = (at - before) / (now - then) if now > then else 0.0
        return now if at + rate * self._latency >= self._byte else None


def _wait(due: Callable[[], float | None], update: _Update, board: Board, boots: int) -> None:
    """Until the relay must be asked; then at once."""
    limit = time.monotonic() + DOWNLOAD_AND_INSTALL_SECONDS + BOOT_SECONDS
    over = 0.0
    while True:
        when, now = due(), time.monotonic()
        if when is not None and when <= now:
            return
        if update.problem:
            raise update.problem
        if update.ended.is_set() and not update.rebooting:
            raise DeviceError(f"{board.name} refused the update", details=update.result.output)
        if not over and update.rebooting and board.boots > boots and _is_well(board):
            over = now + _AFTER
        if now > (max(over, when or 0.0) if over else limit):
            raise LabError(
                f"{board.name}: what the cut is aimed at has not come",
                hint="the update has ended without it: aim at what it shows",
            )
        time.sleep(min(_POLL, when - now) if when is not None else _POLL)


def _is_well(board: Board) -> bool:
    text = board.console_logs[-1].read_text(errors="replace")
    return re.search(HEALTH_LINE, text) is not None


def _chatter(board: Any) -> None:
    """Let it print without a break; ends with the board."""
    try:
        board.run(_CHATTER.format(device=board.console_device), timeout=30)
    except (DeviceError, LabError) as error:
        emit("chatter ended", board=board.name, why=error.brief)
