"""A labgrid strategy: takes a gateway between off, flashed, bootloader and shell.

It only speaks labgrid's protocols, so the same states work for a QEMU board and for one in a rack
(power port, SD mux, serial port). Like labgrid's strategies it stays broken once a transition has
failed: a bench in an unknown state is not tried again.
"""

import enum
from pathlib import Path
from typing import Any

import attr
from labgrid.factory import target_factory
from labgrid.strategy.common import Strategy, StrategyError, never_retry

import harness.boards.qemu.driver  # noqa: F401  (registers HarnessQemuDriver, which we may bind)
from harness.boards.hardware.card import BOARD, Card
from harness.errors import LabError

_GRUB = "boot selection: slot"  # images/legacy-gateway/boot/grub.cfg


class Status(enum.Enum):
    """Where a board is."""

    unknown = 0
    off = 1
    flashed = 2
    bootloader = 3
    shell = 4


@target_factory.reg_driver
@attr.s(eq=False)
class GatewayStrategy(Strategy):  # type: ignore[misc]
    """Args: image (what `flashed` writes, to the card that `card_serial` of the target's options
    names, and reads back; set it before), bootloader (a regular expression for what
    it says on the console; empty: the target's option `boot_banner`, or what our own GRUB says),
    bootloader_timeout (seconds from power-on)."""

    bindings = {  # noqa: RUF012  (labgrid's way)
        "power": "PowerProtocol",
        "console": "ConsoleProtocol",
        "shell": "ShellDriver",
        "qemu": {"HarnessQemuDriver", None},
        "mux": {"USBSDMuxDriver", None},
    }

    image: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    bootloader: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    bootloader_timeout: int = attr.ib(default=60, validator=attr.validators.instance_of(int))
    status: Status = attr.ib(default=Status.unknown)

    @never_retry  # type: ignore[untyped-decorator]
    def transition(self, status: Status | str) -> None:
        """Bring the board into a state; StrategyError for ever after a failure."""
        wanted = status if isinstance(status, Status) else Status[status]
        if wanted is Status.unknown:
            raise StrategyError(f"can not transition to {wanted}")
        if wanted is not self.status:
            self.status = Status.unknown
            getattr(self, f"_to_{wanted.name}")()
            self.status = wanted

    @never_retry  # type: ignore[untyped-decorator]
    def force(self, status: Status | str) -> None:
        """Say that the board is in a state, without bringing it there."""
        self.status = status if isinstance(status, Status) else Status[status]

    def _to_off(self) -> None:
        self._deactivate(self.shell)
        self.target.activate(self.power)
        self.power.off()

    def _to_flashed(self) -> None:
        self._to_off()
        image = Path(self.image)
        if not image.is_file():
            raise LabError(f"cannot flash {self.target.name}: no image {self.image!r}")
        if self.qemu:
            self.target.activate(self.qemu)
            self.qemu.flash(image)
        elif self.mux:
            self.target.activate(self.mux)
            card = self._card()
            card.flash(image)
            card.give(BOARD)
            card.require_gone()
        else:
            raise LabError(
                f"cannot flash {self.target.name}: it has no medium that this strategy can write",
                hint="give it a HarnessQemuDriver, or a USBSDMuxDriver",
            )

    def _card(self) -> Card:
        """Written as `harness flash` writes it: labgrid's own write-image looks at nothing."""
        says = getattr(self.power, "get", None)  # of a relay that can say how it stands
        return Card(
            self.target.name,
            self.mux,
            self.mux.mux,
            serial=str(self._options.get("card_serial") or ""),
            is_off=lambda: not (says and says()),
        )

    def _to_bootloader(self) -> None:
        self._to_off()
        self.target.activate(self.console)
        self.power.on()
        self.console.expect(self._banner(), timeout=self.bootloader_timeout)

    def _banner(self) -> str:
        return self.bootloader or str(self._options.get("boot_banner") or _GRUB)

    @property
    def _options(self) -> dict[str, Any]:
        return self.target.env.config.data["targets"][self.target.name].get("options") or {}

    def _to_shell(self) -> None:
        self._to_off()
        self.target.activate(self.console)
        self.power.on()
        self.target.activate(self.shell)

    def _deactivate(self, driver: Any) -> None:
        """Only this driver and what uses it, never the console or power below it."""
        if driver.state.name == "active":
            self.target.deactivate(driver)
