"""What a scenario sees of a board, whatever it is made of: the seam for real and QEMU boards.

Scenarios, clients and faults only know these protocols. labgrid stands behind them
(`harness.boards.lab` makes a `Board` from a labgrid environment file).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from harness.boards.share import Share
from harness.medium.model import Cut, Failing, Loss, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The end of a command on the board."""

    stdout: str
    stderr: str
    returncode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """A board's machine state (RAM, devices) together with its medium, both at one instant."""

    folder: Path
    boots: int

    @property
    def running(self) -> bool:
        """Whether a restored board runs: there is a machine state, not just a medium."""
        return (self.folder / "machine").exists()


class Board(Protocol):
    """One physical or QEMU device on a bench."""

    name: str  # place in the lab, for example gateway-qemu
    machine: str  # hardware generation, for example legacy-gateway

    @property
    def console_logs(self) -> list[Path]:
        """One file a boot since flashing, in order, complete to the last byte; the last grows."""

    @property
    def boots(self) -> int:
        """Boots since the board was flashed, counted outside the board: power-ons and resets."""

    @property
    def write_log(self) -> Path:
        """The medium's write log since flashing; read it with `LogReader`, also while it grows."""

    def flash(self, image: Path) -> None:
        """Write a disk image to the medium; the board is off before and after."""

    def load_state(self, state_file: Path, *, clock: datetime, seed: int) -> None:
        """As `flash`, of a crash state (a state file, docs/medium.md), which is not copied. Its
        boots start with that clock and seed, to differ as little as they can; it cannot be saved.
        `flash` and `restore` end that."""

    def read_set(self) -> list[tuple[int, int]]:
        """Runs of sectors (first, count) that the board has read since `load_state`, before it
        wrote there: all that its boots could depend on. LabError after `flash`."""

    def power_on(self) -> None:
        """Give power; returns at once. No effect when it is on."""

    def power_off(self) -> None:
        """Take power away without warning, keeping nothing unflushed (`cut` with loss none)."""

    def freeze(self) -> None:
        """Take the power now, but do not decide yet what the medium lost: the board is dead, its
        medium still holds the volatile cache. `save` works in this state, `cut` ends it."""

    def cut(self, loss: Loss) -> Cut:
        """Honest power cut: now, or the end of one by `freeze` or by the armed trigger (or of a
        restored state that was saved there); the board is off afterwards."""

    def arm(self, trigger: Trigger) -> None:
        """Cut the power when the trigger's stages have been passed. One trigger at a time."""

    def wait_cut(self, timeout: float) -> None:
        """Wait until the armed trigger strikes; then as after `freeze`. DeviceError on timeout."""

    def wait_boots(self, count: int, timeout: float) -> None:
        """Wait until the board has booted `count` times since it was flashed.

        Raises DeviceError, with the console's last lines, when it has not in time. Use it after
        asking for a reboot: `login` and `run` alone could still meet the boot that is ending.
        """

    def mark(self, name: str) -> None:
        """Write a named mark into the medium's write log."""

    def link(self, *, up: bool) -> None:
        """Plug or unplug the network cable."""

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

    def read_hash(self, offset: int, length: int) -> str:
        """SHA-256 of a byte range of the medium, not asked from the software under test."""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the medium."""

    def overwrite(self, offset: int, content: bytes) -> None:
        """A storage fault: that part of the medium reads so from now on; the board is off."""

    def harm(self, offset: int, length: int) -> None:
        """A storage fault: reads of that part fail until it is written; the board is off.
        LabError where the board's kind of medium cannot do that (an SD card under QEMU)."""

    def fail(self, failings: Sequence[Failing], *, since: Trigger | None = None) -> None:
        """A storage fault: the medium fails so from now on, or from when `since` strikes, whether
        the board is on or off; with no failing it is well again, as after `flash` and `restore`.
        LabError where the board's kind of medium cannot do that."""

    def set_clock(self, at: datetime | None) -> None:
        """A clock fault: the real-time clock shows this (with a time zone) at the beginning of each
        boot from now on, as one whose battery is dead; None: the host's time, as after `flash` and
        `restore`."""

    def save(self, name: str) -> SavedState:
        """Stop time, keep machine state and medium (volatile cache included), go on.

        Of a board whose machine state cannot be kept only the medium is: restored, it is off, as
        after a power cut at this instant, and `SavedState.running` says so; sync it before. After
        `freeze` or `wait_cut` there is no machine any more: keeps the medium as it is."""

    def restore(self, state: SavedState) -> None:
        """Put the board back into a saved state: running, or dead where it was saved after
        `freeze` (only `cut` leads on from there); drops what it did since."""

    def share(self) -> Share:
        """What the host gave the running boot of a board that it plays: what did not happen in time
        on one that was `starved` is no failure of the device."""

    def host_address(self) -> str:
        """The address under which the board reaches servers on this host's loopback."""

    def close(self) -> None:
        """Power off and give everything back: processes, sockets, lock."""
