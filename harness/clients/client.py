"""What a scenario needs of the update client on a device, whichever client it is.

`harness.clients.registry` makes one by the name that the release gives.
"""

from dataclasses import dataclass
from typing import Protocol

from harness.clients.boot_selection import (
    BootSelection,
    Slot,
    SlotChoice,
    SlotState,
)

__all__ = [
    "BootSelection",
    "Client",
    "DeviceStatus",
    "InstallResult",
    "Slot",
    "SlotChoice",
    "SlotState",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallResult:
    """The end of an installation: a refused artifact is a result, not an exception."""

    ok: bool  # installed, and the new version will be booted next
    output: str  # all that the client printed, both streams
    returncode: int
    message: str  # why it was refused, in the client's own words; or the last line


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """What a device says of itself."""

    version: str
    variants: tuple[str, ...]  # empty for a release without variants
    slot: Slot  # that it runs from
    boot_selection: BootSelection | None  # None: of a device that does not tell
    health: str  # `ok`, `pending`, or what is wrong
    update_server: str  # URL, empty when the device was not provisioned
    device_id: str = ""  # its own for life; empty for an image that tells none

    @property
    def other_slot(self) -> Slot:
        """The slot that the next update goes into."""
        return self.slot.other


class Client(Protocol):
    """The update client of one board. Timeouts are in seconds.

    Every method raises DeviceError when the device cannot be reached, does not answer in time, or
    answers what makes no sense.
    """

    @property
    def idle_changes(self) -> int:
        """How often the client writes the boot selection as it is, before each of its changes."""

    @property
    def data_folder(self) -> str:
        """The folder on the device for a site's own data, which no update may touch."""

    @property
    def keeps_server(self) -> bool:
        """Whether the device keeps the URL of its update server, and can be asked to reach it."""

    def await_health(self, timeout: float, *, boot: int = 0) -> str:
        """Wait until the board has said how well it is: a line with `: ok`, `degraded` or
        `rolled back` (then a reboot follows). DeviceError when nothing comes in time, or, with
        `boot` (the number of the running one), another boot has begun."""

    def provision(self, server_url: str) -> None:
        """Tell the device its update server, as a site's installer would; kept over updates."""

    def install(self, url: str, timeout: float) -> InstallResult:
        """Download and install an update artifact to the end; does not reboot."""

    def start_install(self, url: str) -> None:
        """Begin an installation on the device and return at once."""

    def wait_install(self, timeout: float) -> InstallResult:
        """Wait for the end of the installation that was started."""

    def status(self, timeout: float) -> DeviceStatus:
        """Ask what runs and what will."""

    def boot_selection(self, timeout: float) -> BootSelection:
        """Ask for the boot selection only."""

    def reboot(self, timeout: float) -> None:
        """Ask for an orderly reboot; returns when the device has agreed, before it goes down."""

    def switch_off(self, timeout: float) -> None:
        """Ask for an orderly end, with all data stable; returns when the device has agreed."""
