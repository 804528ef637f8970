"""A card in an SD mux: the board's medium, or a block device of the exporter host, never both.

At the host it is what a USB-SD-Mux shows: a block device that is there (nbdfuse makes a file of the
medium, losetup a device of the file), of size 0 while the card is elsewhere. The medium is the
honest one of QEMU boards: what the host has written and flushed is there for the board.
"""

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness import files, process
from harness.boards.qemu.nbd.client import Medium
from harness.deadline import reached_within
from harness.errors import LabError
from harness.medium.model import Failing, Misdeed

_LOOP_CTL_ADD = 0x4C80  # linux/loop.h
_SECONDS = 20.0
_POLL = 0.02


class PlayedCard:
    """`device` is `/dev/loopN`; `serial` the name of the file behind it, by which a card is told
    from another one. To be used by one thread, which must outlive it."""

    def __init__(self, medium: Medium, folder: Path, *, device: str, serial: str) -> None:
        self._medium = medium
        self._folder = folder
        self._mounted = folder / "mounted"
        self._file = self._mounted / serial
        self._device = Path(device)
        self._fuse: subprocess.Popen[bytes] | None = None
        self._position = 0
        # What is wrong with it, from the next time on that the host gets it.
        self.read_only = self.forgets = False
        self.limit = 0  # bytes; 0: all that the card has

    def prepare(self, size: int) -> None:
        """Have a card, an empty one of `size` bytes where there has been none."""
        files.make_folder(self._mounted)
        _add_loop(self._device)
        self._release_device()
        with contextlib.suppress(LabError):
            self._medium.position()
            return
        blank = self._folder / "blank.img"
        with blank.open("wb") as stream:
            stream.truncate(size)
        self._medium.load(blank)
        blank.unlink()

    @property
    def at_host(self) -> bool:
        """Whether the host has it."""
        return self._fuse is not None

    def to_host(self) -> None:
        """Show it to the host; no effect when it is there."""
        if self._fuse:
            return
        self._position = self._medium.position()
        self._medium.fail([Failing(what=Misdeed.FORGOTTEN_WRITE)] if self.forgets else [])
        argv: list[str | Path] = ["nbdfuse", self._file, self._medium.uri]
        self._fuse = process.start(argv, log=self._folder / "nbdfuse.log")
        try:
            _wait(self._file.exists, f"nbdfuse did not show {self._file}")
            words = ["--direct-io=on"]  # what the medium holds, not what the kernel remembers of it
            words += ["--read-only"] if self.read_only else []
            words += ["--sizelimit", str(self.limit)] if self.limit else []
            process.run(["losetup", *words, self._device, self._file], timeout=_SECONDS)
        except BaseException:
            self.to_board()
            raise

    def to_board(self) -> None:
        """Take it from the host, all that was written on it; no effect when it is not there."""
        fuse, self._fuse = self._fuse, None
        if fuse is None:
            return
        self._release_device()
        process.run(["umount", "--lazy", self._mounted], timeout=_SECONDS, check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it has flushed when it ends
            fuse.wait(_SECONDS)
        process.kill_group(fuse)
        self._medium.fail([])
        if self._medium.position() != self._position:
            self._begin_anew()

    def _begin_anew(self) -> None:
        """The log of what the host has written is of no use to anybody, and as large as that."""
        copied = self._folder / "written.img"
        self._medium.copy(0, self._medium.size(), copied)

        def load() -> bool:
            with contextlib.suppress(LabError):  # nbdkit has not noticed yet that nbdfuse has gone
                self._medium.load(copied)
                return True
            return False

        try:
            _wait(load, f"the medium in {self._medium.folder} is not given back")
        finally:
            copied.unlink()

    def _release_device(self) -> None:
        if _backed(self._device):
            process.run(["losetup", "--detach", self._device], timeout=_SECONDS)
            _wait(lambda: not _backed(self._device), f"{self._device} is in use")


def _backed(device: Path) -> bool:
    return Path("/sys/class/block", device.name, "loop/backing_file").exists()


def _add_loop(device: Path) -> None:
    """Have the kernel make that loop device, where there is none yet."""
    number = int(device.name.removeprefix("loop"))
    try:
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        try:
            with contextlib.suppress(FileExistsError):
                fcntl.ioctl(control, _LOOP_CTL_ADD, number)
        finally:
            os.close(control)
        if not device.exists():  # nobody makes device nodes here
            os.mknod(device, 0o600 | 0o060000, os.makedev(7, number))
    except OSError as error:
        raise LabError(
            f"cannot make {device}: {error.strerror}",
            hint="the virtual bench shows cards as loop devices: it must run as root",
        ) from error


def _wait(reached: Callable[[], bool], otherwise: str) -> None:
    if not reached_within(_SECONDS, reached, poll=_POLL):
        raise LabError(f"{otherwise} within {_SECONDS:g} s")
