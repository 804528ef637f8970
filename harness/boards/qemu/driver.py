"""labgrid's resource and driver for boards that QEMU plays.

`HarnessQemuDriver` has labgrid's power and console protocols, so labgrid's own ShellDriver and
strategies work on it; what only a board without a case can do (honest power cuts, armed cuts, a
cable to pull, states to save) is in its `device`. labgrid's QEMUDriver cannot be used for it: its
`off` flushes everything, and it knows neither resets nor media.

A lab file (labs/qemu.yaml) makes another machine; this code need not change for it.
"""

import shlex
from datetime import datetime
from pathlib import Path

import attr
import pexpect
from labgrid.driver.common import Driver
from labgrid.driver.consoleexpectmixin import ConsoleExpectMixin
from labgrid.factory import target_factory
from labgrid.protocol import ConsoleProtocol, PowerProtocol
from labgrid.resource.common import Resource
from labgrid.util.expect import PtxExpect

from harness.boards.qemu.accelerator import Accelerator, choose
from harness.boards.qemu.device import QemuDevice
from harness.boards.qemu.vm import Hardware
from harness.deadline import Deadline

_text = attr.validators.instance_of(str)
_LOOK = 0.5  # seconds between two looks at whether a silent board is still on


@target_factory.reg_resource
@attr.s(eq=False)
class HarnessMedium(Resource):  # type: ignore[misc]
    """The board's storage: `model` is `disk` or `sd` (harness.medium); `cache`: of an `sd`,
    how many answered writes a power cut may take when its loss says so (`~N`)."""

    model: str = attr.ib(default="disk", validator=attr.validators.in_(["disk", "sd"]))
    cache: int = attr.ib(default=0, validator=attr.validators.ge(0))


def _chips(_driver: object, attribute: "attr.Attribute[object]", value: object) -> None:
    """What `pflash` may say."""
    if not isinstance(value, dict) or not value.keys() <= {"code", "variables"}:
        raise ValueError(f"{attribute.name}: names code and variables, nothing else")
    if value and not (value.get("code") and all(isinstance(each, str) for each in value.values())):
        raise ValueError(f"{attribute.name}: names the file of the code, and may that of variables")


@target_factory.reg_driver
@attr.s(eq=False)
class HarnessQemuDriver(ConsoleExpectMixin, Driver, PowerProtocol, ConsoleProtocol):  # type: ignore[misc]
    """A QEMU board; active means: locked for us, medium served, off or on.

    Args: qemu_bin (a key of the lab's `tools` or a program), machine, cpu, memory, interface (of
    the medium: QEMU's `if=`; `none` with storage_device, the QEMU device with properties that it
    goes to), firmware (`raspi4`: `pi_firmware`), pflash (`code`
    and `variables`, files that flash chips begin with: UEFI), uarts (serial ports; the console is
    the first), nic (QEMU device with properties, empty for none), nic_when (`ADDRESS:MASK`: when
    a USB adapter is plugged in, `usb_adapter`), accel (`accelerator`), extra_args.
    """

    bindings = {"storage": HarnessMedium}  # noqa: RUF012  (labgrid's way)

    qemu_bin: str = attr.ib(validator=_text)
    machine: str = attr.ib(validator=_text)
    cpu: str = attr.ib(default="", validator=_text)
    memory: str = attr.ib(default="256M", validator=_text)
    interface: str = attr.ib(default="ide", validator=_text)
    storage_device: str = attr.ib(default="", validator=_text)
    firmware: str = attr.ib(default="", validator=attr.validators.in_(["", "raspi4"]))
    pflash: dict[str, str] = attr.ib(factory=dict, validator=_chips)
    uarts: int = attr.ib(default=1, validator=attr.validators.instance_of(int))
    nic: str = attr.ib(default="", validator=_text)
    nic_when: str = attr.ib(
        default="", validator=attr.validators.matches_re(r"(0x[0-9a-f]+:0x[0-9a-f]+)?")
    )
    accel: str = attr.ib(default="tcg", validator=attr.validators.in_(list(Accelerator)))
    extra_args: str = attr.ib(default="", validator=_text)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.txdelay = None
        self.txchunk = None
        self._prompt_boot = 0  # the boot in which somebody has last looked for a prompt
        program = str(self.target.env.config.get_tool(self.qemu_bin))
        words = tuple(shlex.split(self.extra_args))
        self.accelerator = choose(Accelerator(self.accel), program, words)
        hardware = Hardware(
            program=program,
            accelerator=self.accelerator,
            machine=self.machine,
            cpu=self.cpu,
            memory=self.memory,
            interface=self.interface,
            storage=self.storage_device,
            firmware=self.firmware,
            pflash=(self._resolved("code"), self._resolved("variables")),
            uarts=self.uarts,
            nic=self.nic,
            nic_when=self.nic_when,
            extra_args=words,
        )
        self.device = QemuDevice(
            self.target.name, hardware, model=self.storage.model, cache=self.storage.cache
        )

    def _resolved(self, chip: str) -> str:
        """A file that `pflash` names, from the lab file's folder; empty for none."""
        file = self.pflash.get(chip, "")
        return str(self.target.env.config.resolve_path(file)) if file else ""

    def on_activate(self) -> None:
        """Lock the board and serve its medium."""
        self.device.open()

    def on_deactivate(self) -> None:
        """Power off and give everything back."""
        self.device.close()

    # labgrid's PowerProtocol

    @Driver.check_active  # type: ignore[untyped-decorator]
    def on(self) -> None:
        """Give power."""
        if not self.device.is_on:
            self.device.console.skip()
            self.forget_console()
        self.device.on()

    @Driver.check_active  # type: ignore[untyped-decorator]
    def off(self) -> None:
        """Take power away without warning, losing all that was not flushed."""
        self.device.off()

    @Driver.check_active  # type: ignore[untyped-decorator]
    def cycle(self) -> None:
        """Off and on."""
        self.off()
        self.on()

    def flash(self, image: Path) -> None:
        """Write an image to the medium, power being off (for GatewayStrategy)."""
        self.device.flash(image)
        self._prompt_boot = 0

    def load_state(self, state_file: Path, *, clock: datetime, seed: int) -> None:
        """Put a crash state on the medium, power being off."""
        self.device.load_state(state_file, clock=clock, seed=seed)
        self._prompt_boot = 0

    # labgrid's console: ConsoleExpectMixin does the rest

    def _read(self, size: int = 1, timeout: float = 0.0, max_size: int | None = None) -> bytes:
        deadline = Deadline(timeout)
        while True:
            alive = self.device.is_on
            data = self.device.console.read(min(deadline.left(), _LOOK))
            if data:
                return data
            if deadline.over or not alive:
                raise pexpect.TIMEOUT("the board is off" if not alive else f"{timeout:g} s passed")

    def _write(self, data: bytes) -> int:
        return self.device.console.write(data)

    def forget_console(self) -> None:
        """Forget what has been heard and not been expected."""
        self._expect = PtxExpect(self)  # pexpect keeps what it has read in more than one place

    def look_for_prompt(self) -> None:
        """Hear the running boot from its beginning, and nothing of a boot before it.

        No effect when that has been done in this boot: then the console goes on where it is.
        """
        if self._prompt_boot != self.device.boots:
            self._prompt_boot = self.device.boots
            self.device.console.rewind()
            self.forget_console()

    def restore(self, folder: Path) -> None:
        """Go on from a saved instant, at a console that has been heard up to there."""
        self.device.restore(folder)
        self.forget_console()
        self._prompt_boot = self.device.boots
