"""What a scenario sees of a board, whatever it is made of: the seam for real and QEMU boards.

`Board` is the core that every board has: a medium that can be flashed, power, a console, a network.
What only some can do is in `Board.can` (`harness.boards.capability`). Scenarios, clients and faults
only know these protocols. labgrid stands behind them (`harness.boards.lab` makes a `Board` from a
labgrid environment file).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.boards.capability import Capabilities
from harness.boards.share import Share


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The end of a command on the board."""

    stdout: str
    stderr: str
    returncode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """IPv4 addresses of this host: the lab file's (`options.listen`, `options.host_address`)."""

    listen: str  # where servers for the board listen
    host: str  # under which the board reaches what listens there


class Board(Protocol):
    """One physical or QEMU device on a bench."""

    name: str  # place in the lab, for example gateway-qemu
    machine: str  # hardware generation, for example legacy-gateway

    @property
    def can(self) -> Capabilities:
        """What it can do beyond all this."""

    @property
    def console_logs(self) -> list[Path]:
        """One file a boot since flashing, in order, complete to the last byte; the last grows."""

    @property
    def boots(self) -> int:
        """Boots since the board was flashed, counted outside the board: power-ons and resets."""

    @property
    def is_on(self) -> bool:
        """Whether it has power and has not switched itself off."""

    def flash(self, image: Path) -> None:
        """Write a disk image to the medium; the board is off before and after."""

    def power_on(self) -> None:
        """Give power; returns at once. No effect when it is on."""

    def power_off(self) -> None:
        """Take power away without warning; of chosen losses (`ChooseLoss`) it is `none`."""

    def wait_boots(self, count: int, timeout: float) -> None:
        """Wait until the board has booted `count` times since it was flashed.

        Raises DeviceError, with the console's last lines, when it has not in time. Use it after
        asking for a reboot: `login` and `run` alone could still meet the boot that is ending.
        """

    def expect(self, pattern: str, timeout: float) -> str:
        """Wait for a regular expression on the serial console; returns the matched text.

        Raises DeviceError, with the console's last lines, when it does not come in time.
        """

    def login(self, timeout: float) -> None:
        """Wait for the login prompt on the serial console and log in (labgrid's ShellDriver)."""

    def run(self, command: str, *, timeout: float) -> CommandResult:
        """Run a shell command over SSH (paramiko); raises DeviceError when the link dies or time
        runs out. The return code is the caller's to judge."""

    def host_key(self, *, timeout: float) -> str:
        """The public host key that its SSH server presents, as `ssh-ed25519 AAAA...`. DeviceError
        when it does not answer; IdentityChanged when it was another one since flashing."""

    def put(self, content: bytes, path: str, *, timeout: float) -> None:
        """Write a file on the board, synced to its medium."""

    def share(self) -> Share:
        """What the host gave the boots of a board that it plays, since it was flashed or restored,
        or, where one got too little, that one: what did not happen in time on a board that was
        `starved` is no failure of the device. LabError when somebody plays it and does not tell."""

    def figures(self) -> Mapping[str, Mapping[str, object]]:
        """What is known of how its host served a board that it plays, by kind: for the evidence,
        whatever the boots came to. Nothing of a board that nobody plays. LabError as `share`."""

    def check_lab(self) -> None:
        """LabError when the bench is at fault for what the board does not do."""

    @property
    def addresses(self) -> Addresses:
        """Where servers are that it shall reach."""

    def close(self) -> None:
        """Power off and give everything back: processes, sockets, lock."""
