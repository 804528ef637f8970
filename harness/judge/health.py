"""What a board says of its health, followed boot by boot."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from harness.boards.board import Board
from harness.clients.client import Client
from harness.clients.gateway import HEALTH_LINE
from harness.deadline import Deadline
from harness.errors import DeviceError
from harness.log import emit

ROLLED_BACK = r"gateway-health: slot [AB]: rolled back[^\r\n]*"
_STATUS = 60.0  # seconds for what a device that is up says of itself
_SLICE = 5.0  # seconds between two looks whether there is another line


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a board may take to come back by itself before it counts as bricked.

    `boots`: a trial slot has its attempts, then the old one must come; one more for the cut itself
    and one in reserve. `boot_seconds`: silence in one boot, longer than the longest way in which a
    device may help itself (a watchdog; systemd's JobTimeoutSec=360 in the gateway), and than a good
    version may wait for its commit.
    """

    boots: int
    boot_seconds: float

    @classmethod
    def of(cls, *, attempts: int, soak: int) -> Self:
        """What products get that promise this."""
        return cls(boots=attempts + 3, boot_seconds=390.0 + soak)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`repeats`: whether the first line about its health need not be the last one of a boot;
    `waits`: whether the version that runs still waits for its commit; `asked`: nothing on the
    console says how well it is, so that a system which is going down would still say that."""

    board: Board
    client: Client
    budget: Budget
    repeats: bool
    waits: Callable[[], bool]
    asked: bool = False

    def wait(self, boots_before: int) -> str:
        """Wait until it is well or out of budget; returns why it is given up, or nothing."""
        boot = boots_before
        while True:
            try:
                if self.repeats or self.asked:  # also the boot before, until it ends
                    self.board.wait_boots(boot + 1, timeout=self.budget.boot_seconds)
                boot = self.board.boots
                if boot - boots_before > self.budget.boots:
                    return f"not healthy after {self.budget.boots} boots"
                line = self.last(boot)
            except DeviceError as silence:
                if self.board.boots != boot:
                    continue  # it rebooted meanwhile: the next boot has its own time
                if self.asked and self._answers():
                    return ""  # how well it is, is the first question
                return f"no sign of health in boot {boot}: {silence.brief}"
            emit("health", board=self.board.name, boot=boot, line=line)
            if "rolled back" not in line:
                return ""

    def _answers(self) -> bool:
        try:
            self.client.status(timeout=_STATUS)
        except DeviceError:
            return False
        return True

    def last(self, boot: int) -> str:
        """What a boot says of its health at last: its only line, or, where there may be more, the
        one when its version is well and committed, is left, or has no more time. DeviceError when
        it says nothing."""
        deadline = Deadline(self.budget.boot_seconds)
        if not self.repeats:
            return self.client.await_health(deadline.left(), boot=boot)
        while True:
            line = self._newest(boot)
            if self._is_last(line) or deadline.over or self.board.boots != boot:
                break
            with contextlib.suppress(DeviceError):  # no reboot is no news
                self.board.wait_boots(boot + 1, timeout=min(_SLICE, deadline.left()))
        if not line:
            raise DeviceError(f"{self.board.name}: nothing about its health in boot {boot}")
        return line

    def _newest(self, boot: int) -> str:
        """The last one in the console log of that boot; boots before it may say more, too."""
        logs = self.board.console_logs
        said = logs[boot - 1].read_text(errors="replace") if len(logs) >= boot else ""
        found = [each[0] for each in re.finditer(HEALTH_LINE, said)]
        return found[-1] if found else ""

    def _is_last(self, line: str) -> bool:
        return "rolled back" in line or (line.endswith(": ok") and not self.waits())
