"""A board that QEMU plays: `harness.boards.board.Board`, with every capability there is."""

import contextlib
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pexpect
from labgrid.strategy.common import StrategyError

from harness.boards import lab_file
from harness.boards.board import Addresses, CommandResult
from harness.boards.capability import Capabilities, Parts, SavedState
from harness.boards.flashed import FLASHED, PIN, begin_with
from harness.boards.lab_file import BoardOptions
from harness.boards.pulse import Pulse
from harness.boards.qemu.device import QemuDevice
from harness.boards.qemu.driver import HarnessQemuDriver
from harness.boards.qemu.nbd.client import Medium
from harness.boards.qemu.nbd.service import BootServed
from harness.boards.share import Share
from harness.boards.ssh import SshLink
from harness.boards.strategy import GatewayStrategy, Status
from harness.errors import DeviceError, HarnessError, LabError
from harness.log import step
from harness.medium.model import Loss, PowerCut, Trigger

# This host's loopback, and how QEMU's user network shows it to the board.
_LISTEN, _HOST = "127.0.0.1", "10.0.2.2"
_LOGIN = 30.0  # seconds on the console of a board that runs
_ASK_ITSELF = "timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/22; head -n 1 <&3'"
_NETWORK_RESET = 90.0  # seconds


def require_served(board: str, medium: Medium) -> None:
    """LabError when the host could not serve one of the boots since flashing as a medium does."""
    found = BootServed.worst_of(medium.served())
    if found.trouble:
        raise LabError(
            f"{board}: the bench is too slow to tell: its medium: {found.trouble}",
            details=f"{found.requests} requests took {found.taken:.1f} s, one {found.worst:.1f} s",
            hint="this host's disk (where $HARNESS_CACHE lies), or too much that runs on it; "
            f"the server's own log: {medium.folder / 'nbdkit.log'}",
        )


class QemuBoard:
    """`harness.boards.board.Board` on a labgrid target with a HarnessQemuDriver."""

    def __init__(self, target: Any, *, options: BoardOptions) -> None:
        self.name: str = target.name
        self.machine: str = options["machine"]
        self._target = target
        self._driver: HarnessQemuDriver = target.get_driver(HarnessQemuDriver)
        self._device: QemuDevice = self._driver.device
        self._strategy: GatewayStrategy = target.get_strategy()
        self._shell = target.get_driver("ShellDriver", activate=False)
        self._ssh = SshLink(
            self._ssh_address,
            user=options.get("ssh_user", "root"),
            key=lab_file.ssh_key(options),
            pin=self._device.folder / PIN,
            prepare=options.get("ssh_prepare", ""),
            patience=options.get("ssh_patience", 0),
            revive=self._reset_network if options.get("network_reset") else None,
            answers_itself=self._answers_itself if options.get("network_reset") else None,
        )
        self._network_reset = options.get("network_reset", "")
        self._addresses = Addresses(
            listen=options.get("listen", _LISTEN), host=options.get("host_address", _HOST)
        )
        medium = self._device.medium
        self._parts = Parts(
            medium_read=medium,
            medium_write=medium,
            medium_fail=medium,
            cut_at_write=self,
            choose_loss=self,
            save=self,
            record=self,
            link=self._device.link if self._driver.nic else None,
            set_clock=self._device.set_clock,
        )
        self._pulse = Pulse()
        self._pulse.open()

    @property
    def can(self) -> Capabilities:
        """All that there is, but for a cable on a board without a network."""
        return Capabilities(self.name, self._parts)

    @property
    def boots(self) -> int:
        """Boots since flashing: power-ons and resets, counted outside the board."""
        return self._device.boots

    @property
    def console_logs(self) -> list[Path]:
        """One file a boot since flashing, in order."""
        return self._device.console.logs

    @property
    def is_on(self) -> bool:
        """Whether it has power and has not switched itself off."""
        return self._device.is_on

    @property
    def accelerator(self) -> str:
        """What executes its instructions."""
        return str(self._driver.accelerator)

    @property
    def write_log(self) -> Path:
        """The medium's write log since flashing."""
        return self._device.medium.write_log

    def flash(self, image: Path) -> None:
        """Write a disk image; off before and after; boots, logs and host key begin anew."""
        with step("flash", board=self.name, image=str(image)):
            self._pulse.begin()
            self._forget_sessions()
            self._strategy.image = str(image)
            self._strategy.status = Status.unknown
            try:
                self._strategy.transition(Status.flashed)
            except StrategyError as error:
                cause = error.__cause__
                raise cause if isinstance(cause, HarnessError) else LabError(str(error)) from error
            begin_with(self._device.folder, image)

    def load_state(self, state_file: Path, *, clock: datetime, seed: int) -> None:
        """Put a crash state on the medium; else as `flash`."""
        with step("load state", board=self.name, state=str(state_file)):
            self._pulse.begin()
            self._forget_sessions()
            self._strategy.force(Status.unknown)  # the strategy knows images only
            self._target.activate(self._driver)
            self._driver.load_state(state_file, clock=clock, seed=seed)
            begin_with(self._device.folder, state_file)

    def read_set(self) -> list[tuple[int, int]]:
        """Runs of sectors read since load_state before they were written."""
        return self._device.medium.read_set()

    def power_on(self) -> None:
        """Give power."""
        self._driver.on()

    def power_off(self) -> None:
        """Cut with loss none."""
        self._driver.off()
        self._forget_sessions()

    def freeze(self) -> None:
        """Power cut, first half."""
        self._device.freeze()
        self._forget_sessions()

    def cut(self, loss: Loss) -> PowerCut:
        """Honest power cut, or the second half of one."""
        cut = self._device.cut(loss)
        self._forget_sessions()
        return cut

    def arm(self, trigger: Trigger) -> None:
        """Cut when the trigger's stages have been passed."""
        self._device.arm(trigger)

    def wait_cut(self, timeout: float, *, unless: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the armed trigger to strike."""
        struck = self._device.wait_cut(timeout, unless=unless)
        if struck:
            self._forget_sessions()
        return struck

    def disarm(self) -> None:
        """Forget the trigger."""
        self._device.medium.disarm()

    def wait_boots(self, count: int, timeout: float) -> None:
        """Wait until the board has booted `count` times since flashing; DeviceError if not."""
        if not self._device.wait_boots(count, timeout):
            raise DeviceError(
                f"{self.name}: boot {count} did not come within {timeout:g} s (at {self.boots})",
                details=self._device.console.tail(),
            )
        self._forget_sessions()

    def mark(self, name: str) -> None:
        """Write a mark into the write log."""
        self._device.medium.mark(name)

    def expect(self, pattern: str, timeout: float) -> str:
        """Wait for a regular expression in what the console says next."""
        try:
            _, _, match, _ = self._driver.expect(pattern, timeout=timeout)
        except pexpect.TIMEOUT as error:
            raise self._silent(f"console did not show {pattern!r}", timeout) from error
        return str(match.group(0).decode(errors="replace"))

    def login(self, timeout: float) -> None:
        """Log in on the console of the running boot, with labgrid's ShellDriver."""
        self._driver.look_for_prompt()
        self._leave_shell()
        self._shell.login_timeout = math.ceil(timeout)
        try:
            self._target.activate(self._shell)
        except pexpect.TIMEOUT as error:
            raise self._silent("no login on the console", timeout) from error

    def run(self, command: str, *, timeout: float) -> CommandResult:
        """Run a command over SSH."""
        return self._ssh.run(command, timeout=timeout)

    def host_key(self, *, timeout: float) -> str:
        """The host key that is pinned, and that it answers with now."""
        return self._ssh.host_key(timeout=timeout)

    def put(self, content: bytes, path: str, *, timeout: float) -> None:
        """Write a file over SSH, synced."""
        self._ssh.put(content, path, timeout=timeout)

    def save(self, name: str) -> SavedState:
        """Keep this instant: machine, medium, logs; goes on. Open SSH sessions are closed."""
        self._ssh.close()
        with step("save", board=self.name, state=name):
            folder = self._device.save(name)
            for file in (PIN, FLASHED):
                if (self._device.folder / file).exists():
                    shutil.copy2(self._device.folder / file, folder / file)
        return SavedState(folder=folder, boots=self.boots)

    def restore(self, state: SavedState) -> None:
        """Go on from a saved instant; later console logs are gone: copy them before."""
        self._forget_sessions()
        with step("restore", board=self.name, state=state.folder.name):
            self._pulse.begin()
            self._driver.restore(state.folder)
            for file in (PIN, FLASHED):
                (self._device.folder / file).unlink(missing_ok=True)
                if (state.folder / file).exists():
                    shutil.copy2(state.folder / file, self._device.folder / file)

    def share(self) -> Share:
        """What the host gave its boots."""
        return self._device.share()

    def figures(self) -> Mapping[str, Mapping[str, object]]:
        """CPU time, and each boot's medium."""
        served = [each.to_data() for each in self._device.medium.served()]
        return {"share": asdict(self.share()), "medium": {"boots": served}}

    def check_lab(self) -> None:
        """LabError when this process had no time for the board, which goes on without it; who
        serves its medium is asked to do so once more, and how long it has taken."""
        self._pulse.check(self.name)
        self.mark("problem")
        require_served(self.name, self._device.medium)

    @property
    def addresses(self) -> Addresses:
        """This host's loopback, unless the lab file says otherwise."""
        return self._addresses

    def close(self) -> None:
        """Power off and give everything back. Idempotent."""
        self._pulse.close()
        self._forget_sessions()
        if self._driver.state.name == "active":
            self._target.deactivate(self._driver)

    def _ssh_address(self) -> tuple[str, int]:
        if not self._device.is_on:
            raise DeviceError(f"{self.name} is off: no SSH")
        return "127.0.0.1", self._device.ssh_port

    def _reset_network(self) -> None:
        """What a person at the bench does when the lab's own network hangs: over the console."""
        with contextlib.suppress(DeviceError), step("reset network", board=self.name):
            self.login(_LOGIN)
            try:
                self._shell.run(self._network_reset, timeout=_NETWORK_RESET)
            except pexpect.TIMEOUT as error:
                raise self._silent("no end of network_reset", _NETWORK_RESET) from error
            finally:
                self._leave_shell()

    def _answers_itself(self) -> bool:
        """Whether its SSH server answers on the board: asked over the console."""
        told: list[str] = []
        with contextlib.suppress(DeviceError, pexpect.TIMEOUT), step("ask itself", board=self.name):
            self.login(_LOGIN)
            try:
                told, _, _ = self._shell.run(_ASK_ITSELF, timeout=_NETWORK_RESET)
            finally:
                self._leave_shell()
        return any(line.startswith("SSH-") for line in told)

    def _forget_sessions(self) -> None:
        self._ssh.close()
        self._leave_shell()

    def _leave_shell(self) -> None:
        if self._shell.state.name == "active":
            self._target.deactivate(self._shell)

    def _silent(self, what: str, timeout: float) -> DeviceError:
        why = f"within {timeout:g} s" if self._device.is_on else "before the board went off"
        return DeviceError(
            f"{self.name}: {what} {why}",
            details=self._device.console.tail(),
            hint=f"console logs: {self._device.console.folder}",
        )
