"""A board that QEMU plays: medium, console, power and cable, and what can happen to them.

Everything lies in the board's run folder, so that a board keeps its disk while nobody uses it:

    lock  state.json  qemu.log  console/  medium/  saved/<name>/

Knows nothing of labgrid: `harness.boards.qemu.driver` makes a labgrid driver of it.
"""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from harness import files, paths
from harness.boards.console import Console
from harness.boards.lock import BoardLock
from harness.boards.qemu import pi_firmware
from harness.boards.qemu.fixed_boot import FixedBoots
from harness.boards.qemu.nbd.client import Medium
from harness.boards.qemu.pflash import FlashChips
from harness.boards.qemu.power import PowerPeriod
from harness.boards.qemu.vm import Hardware, Vm
from harness.boards.share import Share
from harness.deadline import Deadline
from harness.errors import DeviceError, LabError
from harness.medium.model import Loss, LossKind, PowerCut, Trigger

_FROZEN = "frozen"  # in a saved state: dead, and its losses not decided
_NOTHING_KEPT = Loss(kind=LossKind.NONE)


class QemuDevice:
    """Ours alone from `open` to `close`. Off, on, or frozen: dead, and its losses not decided."""

    def __init__(self, name: str, hardware: Hardware, *, model: str, cache: int = 0) -> None:
        self.name = name
        self.folder = run_folder(name)
        self.medium = Medium(self.folder / "medium", model=model, cache=cache)
        self.console = Console(self.folder / "console")
        self._hardware = hardware
        self._chips = FlashChips(self.folder, *hardware.pflash)
        self._lock = BoardLock(self.folder, name)
        self._power: PowerPeriod | None = None
        self._vms: list[Vm] = []  # of the boots since it was flashed or restored
        self._frozen = False
        self._link_up = True
        self._fixed: FixedBoots | None = None  # after load_state
        self._clock: datetime | None = None  # at the beginning of each boot; none: the host's
        self.more_arguments: tuple[str, ...] = ()  # QEMU's, of each boot

    def open(self) -> None:
        """Lock the board and serve its medium; LabError when somebody else has it."""
        self._lock.acquire()
        try:
            self._state.unlink(missing_ok=True)
            self._forget_saved()  # of a holder that was killed
            self.console.reopen()
            self.medium.start()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Power off and give everything back; the medium's content stays."""
        try:
            self.off()
        finally:
            self.medium.close()
            self._forget_saved()
            self._lock.release()

    def _forget_saved(self) -> None:
        """Saved states belong to one holder of the board: they are large, and soon stale."""
        shutil.rmtree(self.folder / "saved", ignore_errors=True)

    @property
    def boots(self) -> int:
        """Boots since the board was flashed."""
        return len(self.console.logs)

    @property
    def is_on(self) -> bool:
        """Whether the board has power; raises what took it, when that was a lab failure."""
        if self._power is None:
            return False
        self._power.check()
        return self._power.on

    def share(self) -> Share:
        """What the host gave the boots since the board was flashed or restored: the worst of it."""
        return Share.worst(self.shares)

    @property
    def shares(self) -> tuple[Share, ...]:
        """Of each of those boots."""
        return tuple(vm.share() for vm in self._vms)

    @property
    def ssh_port(self) -> int:
        """Port on this host's loopback that leads to the board's SSH; LabError when off."""
        return self._vm().ssh_port

    def flash(self, image: Path) -> None:
        """Write an image to the medium, power being off; boots and logs begin anew."""
        self.off()
        self.medium.load(image)
        self._chips.reset()
        self._vms.clear()
        self._fixed = self._clock = None
        self.console.clear()

    def load_state(self, state_file: Path, *, clock: datetime, seed: int) -> None:
        """As `flash`, of a crash state; its boots begin with that clock and seed."""
        self.off()
        self.medium.load_state(state_file)
        self._chips.reset()
        self._vms.clear()
        self._fixed = FixedBoots(clock, seed)
        self.console.clear()

    def on(self) -> None:
        """Give power. No effect when it is on; LabError when frozen."""
        if self.is_on:
            return
        if self._frozen:
            raise LabError(f"{self.name}: the power cut has not ended: decide the losses with cut")
        if self._power:  # it has switched itself off
            self.off()
        self.medium.position()  # raises when there is nothing to boot from
        self._begin(self._boot)

    def off(self) -> None:
        """Take power away, losing all that was not flushed. No effect when it is off."""
        if self._power or self._frozen:
            self.cut(_NOTHING_KEPT)

    def freeze(self) -> None:
        """First half of a power cut: the board is dead, its losses are still open."""
        if self._power:
            self._power.begin_end()
        self.medium.freeze()
        self._end_power()
        self._frozen = True

    def cut(self, loss: Loss) -> PowerCut:
        """A power cut, or the second half of one; the board is off."""
        self.freeze()
        cut = self.medium.drop(loss)
        self.medium.release()
        self._frozen = False
        return cut

    def arm(self, trigger: Trigger) -> None:
        """Freeze the medium when the trigger's stages have been passed."""
        self.medium.arm(trigger)

    def wait_cut(self, timeout: float, *, unless: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the armed trigger, then as after `freeze`; see `CutAtWrite`."""
        deadline = Deadline(timeout)
        while not self.medium.wait_tripped(min(1.0, deadline.left())):
            if unless():
                return False
            if deadline.over or not self.is_on:
                why = f"in {timeout:g} s" if self.is_on else "before the board switched itself off"
                raise DeviceError(
                    f"{self.name}: the armed power cut did not strike {why}",
                    details=self.console.tail(),
                )
        self.freeze()
        return True

    def wait_boots(self, count: int, timeout: float) -> bool:
        """Wait until there were `count` boots since flashing; False in time or power-off."""
        if self._power:
            self._power.wait(lambda: self.boots >= count, timeout)
            self._power.check()
        return self.boots >= count

    def link(self, *, up: bool) -> None:
        """Plug or unplug the cable; it stays so over resets and power cuts."""
        self._link_up = up
        if self.is_on:
            self._vm().link(up=up)

    def set_clock(self, at: datetime | None) -> None:
        """What its real-time clock shows at the beginning of each boot from now on."""
        self._clock = at

    def save(self, name: str) -> Path:
        """Keep machine (when there is one), medium and logs at one instant; returns the folder.

        Of a machine whose state QEMU cannot save only the medium and the logs are kept, as a power
        cut at this instant would leave them. Lasts until the board is closed, also over flashing
        something else.
        """
        folder = self.folder / "saved" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if self._frozen:
            (folder / _FROZEN).touch()
        vm = None if self._frozen else self._vm()
        if vm:
            vm.stop()
        if vm and self._hardware.can_be_saved:
            vm.save_state(folder / "machine")
        self.medium.save(folder / "medium")
        self._chips.save(folder)
        self.console.save(folder / "console")
        if vm:
            vm.cont()
        return folder

    def restore(self, folder: Path) -> None:
        """Go on from a saved instant; what happened since is gone, its console logs too."""
        self._end_power()
        self.medium.restore(folder / "medium")
        self._chips.restore(folder)
        self._vms.clear()
        self._fixed = self._clock = None  # a crash state cannot be saved
        self.console.restore(folder / "console")
        self._frozen = (folder / _FROZEN).exists()
        if (folder / "machine").exists():
            self._begin(lambda first: self._resume(folder) if first else self._boot(first))

    def _begin(self, boot: Callable[[bool], Vm]) -> None:
        self._power = PowerPeriod(boot, lambda: not self.medium.wait_tripped(0))
        try:
            self._power.begin()
        except BaseException:
            self._end_power()
            raise

    def _end_power(self) -> None:
        if self._power:
            self._power.end()
            self._power = None
        self.console.close_input()
        self._state.unlink(missing_ok=True)

    def _boot(self, _first: bool) -> Vm:
        """A cold start, or what follows a reset. Called in the power period's thread."""
        if self._fixed:
            self._fixed.begin_boot()
        vm = self._new_vm(self.console.begin_boot())
        vm.start(self.folder / "qemu.log")
        return self._run(vm, lambda: self.medium.mark(f"boot {self.boots}"))

    def _resume(self, folder: Path) -> Vm:
        self.console.open_input()
        vm = self._new_vm(self.console.logs[-1])
        vm.start(self.folder / "qemu.log", incoming=True)
        return self._run(vm, lambda: vm.load_state(folder / "machine"))

    def _run(self, vm: Vm, prepare: Callable[[], None]) -> Vm:
        try:
            prepare()
            if not self._link_up:
                vm.link(up=False)
            self._tell(vm)
            vm.cont()
        except LabError:
            vm.kill()
            raise
        return vm

    def _new_vm(self, log: Path) -> Vm:
        arguments = [*(self._fixed.arguments if self._fixed else []), *self._chips.arguments()]
        arguments += self.more_arguments
        if self._clock:
            arguments += ["-rtc", f"base={self._clock.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"]
        if self._hardware.firmware == "raspi4":
            arguments += self._firmware()
        vm = Vm(
            self._hardware,
            medium=self.medium.uri,
            console=(log, self.console.fifo),
            arguments=arguments,
        )
        self._vms.append(vm)
        return vm

    def _firmware(self) -> list[str]:
        """What the VideoCore would read of the card, and the board has read then."""
        card = self.folder / "card.img"
        area = min(pi_firmware.card_area(self.medium.read(0, 512)), self.medium.size())
        self.medium.copy(0, area, card, as_read=True)
        seed = self._fixed.random(64) if self._fixed else b""
        return pi_firmware.load(card, self.folder / "firmware", rng_seed=seed)

    def _vm(self) -> Vm:
        if self._power is None:
            raise LabError(f"{self.name} is off")
        return self._power.vm

    @property
    def _state(self) -> Path:
        return self.folder / "state.json"

    def _tell(self, vm: Vm) -> None:
        """Where other processes (`harness console`, `harness ssh`) find the running board."""
        state = {
            "holder": os.getpid(),
            "qemu": vm.pid,
            "ssh_port": vm.ssh_port,
            "boots": self.boots,
            "console": str(self.console.folder),
        }
        files.write_whole(self._state, json.dumps(state).encode())


def run_folder(board: str) -> Path:
    """Where a board's medium, logs, lock and state are."""
    return paths.cache() / "run" / board
