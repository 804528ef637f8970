"""labgrid's resource and driver for boards that QEMU plays.

`HarnessQemuDriver` has labgrid's power and console protocols, so labgrid's own ShellDriver and
strategies work on it, and what only a board without a case can do: an honest power cut with a loss
model, cuts armed at a write, a cable to pull, states to save. labgrid's QEMUDriver cannot be
used for it: its `off` flushes everything, and it knows neither resets nor media.

A lab file (labs/qemu.yaml) makes another machine; this code need not change for it.
"""

import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import attr
import pexpect
from labgrid.driver.common import Driver
from labgrid.driver.consoleexpectmixin import ConsoleExpectMixin
from labgrid.factory import target_factory
from labgrid.protocol import ConsoleProtocol, PowerProtocol
from labgrid.resource.common import Resource

from harness import paths
from harness.boards.console import Console
from harness.boards.lock import BoardLock
from harness.boards.medium.client import Medium
from harness.boards.medium.model import Cut, Loss, LossKind, Trigger
from harness.boards.power import PowerPeriod
from harness.boards.vm import Hardware, Vm
from harness.deadline import Deadline
from harness.errors import DeviceError, LabError

_text = attr.validators.instance_of(str)


@target_factory.reg_resource
@attr.s(eq=False)
class HarnessMedium(Resource):  # type: ignore[misc]
    """The board's storage: `model` is `disk` or `sd` (harness.boards.medium)."""

    model: str = attr.ib(default="disk", validator=attr.validators.in_(["disk", "sd"]))


@target_factory.reg_driver
@attr.s(eq=False)
class HarnessQemuDriver(ConsoleExpectMixin, Driver, PowerProtocol, ConsoleProtocol):  # type: ignore[misc]
    """A QEMU board; active means: locked for us, medium served, off or on.

    Args: qemu_bin (a key of the lab's `tools` or a program), machine, cpu, memory, interface (of
    the medium: QEMU's `if=`), nic (QEMU device with properties, empty for none), extra_args.
    """

    bindings = {"storage": HarnessMedium}  # noqa: RUF012  (labgrid's way)

    qemu_bin: str = attr.ib(validator=_text)
    machine: str = attr.ib(validator=_text)
    cpu: str = attr.ib(default="", validator=_text)
    memory: str = attr.ib(default="256M", validator=_text)
    interface: str = attr.ib(default="ide", validator=_text)
    nic: str = attr.ib(default="", validator=_text)
    extra_args: str = attr.ib(default="", validator=_text)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.txdelay = None
        self.txchunk = None
        self.folder = run_folder(self.target.name)
        self._hardware = Hardware(
            program=self._program(),
            machine=self.machine,
            cpu=self.cpu,
            memory=self.memory,
            interface=self.interface,
            nic=self.nic,
            extra_args=tuple(shlex.split(self.extra_args)),
        )
        self._lock = BoardLock(self.folder, self.target.name)
        self._power: PowerPeriod | None = None
        self._link_up = True
        self._login_boot = 0  # the boot in which somebody has last looked for a prompt

    def _program(self) -> str:
        return str(self.target.env.config.get_tool(self.qemu_bin)) if self.target.env else ""

    def on_activate(self) -> None:
        """Lock the board and serve its medium."""
        self._lock.acquire()
        try:
            self._state.unlink(missing_ok=True)
            self.console_files = Console(self.folder / "console")
            self.medium = Medium(self.folder / "medium", model=self.storage.model)
            self.medium.start()
        except BaseException:
            self._lock.release()
            raise

    def on_deactivate(self) -> None:
        """Power off and give everything back; the medium's content stays."""
        try:
            self.off()
        finally:
            self.medium.close()
            self._lock.release()

    # labgrid's PowerProtocol

    @Driver.check_active  # type: ignore[untyped-decorator]
    def on(self) -> None:
        """Give power."""
        if self._power and self._power.on:
            return
        self._power_off(LossKind.NONE)
        self.medium.position()  # raises when there is nothing to boot from
        self._expect.buffer = b""
        self._begin(self._boot)

    @Driver.check_active  # type: ignore[untyped-decorator]
    def off(self) -> None:
        """Take power away without warning, losing all that was not flushed."""
        self._power_off(LossKind.NONE)

    @Driver.check_active  # type: ignore[untyped-decorator]
    def cycle(self) -> None:
        """Off and on."""
        self.off()
        self.on()

    # labgrid's console: ConsoleExpectMixin does the rest

    def _read(self, size: int = 1, timeout: float = 0.0, max_size: int | None = None) -> bytes:
        deadline = Deadline(timeout)
        while True:
            alive = self.is_on
            data = self.console_files.read(min(deadline.left(), 0.5))
            if data:
                return data
            if deadline.over or not alive:
                raise pexpect.TIMEOUT("the board is off" if not alive else f"{timeout:g} s passed")

    def _write(self, data: bytes) -> int:
        return self.console_files.write(data)

    # What scenarios need beyond labgrid

    @property
    def is_on(self) -> bool:
        """Whether the board has power; raises what ended it, when that was a lab failure."""
        if self._power is None:
            return False
        self._power.check()
        return self._power.on

    @property
    def boots(self) -> int:
        """Boots since the board was flashed."""
        return len(self.console_files.logs)

    @property
    def ssh_port(self) -> int:
        """Port on this host's loopback that leads to the board's SSH; LabError when off."""
        return self._vm().ssh_port

    def look_for_prompt(self) -> None:
        """Hear the running boot from its beginning, and nothing of a boot before it.

        No effect when that has been done in this boot: then the console goes on where it is.
        """
        if self._login_boot != self.boots:
            self._login_boot = self.boots
            self.console_files.rewind()
            self._expect.buffer = b""

    def wait_boots(self, count: int, timeout: float) -> bool:
        """Wait until there were `count` boots since flashing; False in time or power-off."""
        if self._power:
            self._power.wait(lambda: self.boots >= count, timeout)
            self._power.check()
        return self.boots >= count

    def flash(self, image: Path) -> None:
        """Write an image to the medium, power being off; boots and logs begin anew."""
        self.off()
        self.medium.load(image)
        self.console_files.clear()
        self._login_boot = 0
        shutil.rmtree(self.folder / "saved", ignore_errors=True)

    def cut(self, loss: Loss) -> Cut:
        """Honest power cut: freeze, kill, lose; leaves the board off."""
        if self._power:
            self._power.begin_end()
        self.medium.freeze()
        return self._end_power(loss)

    def wait_cut(self, timeout: float) -> None:
        """Wait for the armed trigger; DeviceError when it has not struck in time."""
        deadline = Deadline(timeout)
        while not self.medium.wait_tripped(min(1.0, deadline.left())):
            if deadline.over or not self.is_on:
                why = f"in {timeout:g} s" if self.is_on else "before the board switched itself off"
                raise DeviceError(
                    f"{self.target.name}: the armed power cut did not strike {why}",
                    details=self.console_files.tail(),
                )

    def arm(self, trigger: Trigger) -> None:
        """Cut when the trigger's stages have been passed."""
        self.medium.arm(trigger)

    def link(self, *, up: bool) -> None:
        """Plug or unplug the cable; it stays so over resets and power cuts."""
        self._link_up = up
        if self.is_on:
            self._vm().link(up=up)

    def save(self, name: str) -> Path:
        """Keep machine, medium and logs at one instant; returns the folder."""
        folder = self.folder / "saved" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        vm = self._vm()
        vm.stop()
        vm.save_state(folder / "machine")
        self.medium.save(folder / "medium")
        self.console_files.save(folder / "console")
        vm.cont()
        return folder

    def restore(self, folder: Path) -> None:
        """Go on from a saved instant; what happened since is gone, its console logs too."""
        if self._power:
            self._power.end()
            self._power = None
        self.medium.restore(folder / "medium")
        self.console_files.restore(folder / "console")
        self._expect.buffer = b""
        self._login_boot = self.boots
        self._begin(lambda first: self._resume(folder) if first else self._boot(first))

    def _begin(self, boot: Callable[[bool], Vm]) -> None:
        self._power = PowerPeriod(boot, lambda: not self.medium.wait_tripped(0))
        try:
            self._power.begin()
        except BaseException:
            self._power.end()
            self._power = None
            raise

    def _boot(self, _first: bool) -> Vm:
        """A cold start, or what follows a reset. Called in the power period's thread."""
        vm = self._new_vm(self.console_files.begin_boot())
        vm.start(self.folder / "qemu.log")
        self.medium.mark(f"boot {self.boots}")
        return self._run(vm)

    def _resume(self, folder: Path) -> Vm:
        self.console_files.open_input()
        vm = self._new_vm(self.console_files.logs[-1])
        vm.start(self.folder / "qemu.log", incoming=True)
        try:
            vm.load_state(folder / "machine")
        except LabError:
            vm.kill()
            raise
        return self._run(vm)

    def _run(self, vm: Vm) -> Vm:
        try:
            if not self._link_up:
                vm.link(up=False)
            self._tell(vm)
            vm.cont()
        except LabError:
            vm.kill()
            raise
        return vm

    def _new_vm(self, log: Path) -> Vm:
        console = (log, self.console_files.fifo)
        return Vm(self._hardware, medium=self.medium.uri, console=console)

    def _vm(self) -> Vm:
        if self._power is None:
            raise LabError(f"{self.target.name} is off")
        return self._power.vm

    def _power_off(self, kind: LossKind) -> None:
        if self._power:
            self.cut(Loss(kind=kind))

    def _end_power(self, loss: Loss) -> Cut:
        if self._power:
            self._power.end()
            self._power = None
        self.console_files.close_input()
        self._state.unlink(missing_ok=True)
        cut = self.medium.drop(loss)
        self.medium.release()
        return cut

    @property
    def _state(self) -> Path:
        return self.folder / "state.json"

    def _tell(self, vm: Vm) -> None:
        """Where other processes (`harness console`, `harness ssh`) find the running board."""
        state: dict[str, object] = {"holder": os.getpid(), "qemu": vm.pid, "ssh_port": vm.ssh_port}
        state |= {"boots": self.boots, "console": str(self.console_files.folder)}
        new = self._state.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self._state)


def run_folder(board: str) -> Path:
    """Where a board's medium, logs, lock and state are."""
    return paths.cache() / "run" / board
