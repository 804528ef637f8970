"""The real readers of a medium's bytes, away from any board: what do they make of a crash state?

`e2fsck -p` is what a device's boot runs on the data partition (systemd-fsck(8)), some after a look
that changes nothing (`e2fsck -n`: docs/data-partition.md); grub-editenv and
fw_printenv share their parsers with GRUB and with what sets U-Boot's environment on the device.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from harness import process
from harness.crash.disk.ext4 import FileSystem
from harness.crash.disk.metadata import Metadata, plain_superblock
from harness.crash.states.contents import SECTOR, digest
from harness.errors import LabError

Reading = tuple[int, int, int, bytes]
_SECONDS = 120.0
_CHECKED = ((0x40, 4), (0x276, 1))  # s_lastcheck, s_lastcheck_hi: that e2fsck was there just now
_KNOWN = range(16)  # exit codes of e2fsck(8) that tell of the file system: 16 and up, of the call


class DataReader:
    """e2fsck, as a boot at the time `clock` would run it."""

    def __init__(self, system: FileSystem, clock: datetime) -> None:
        self._system, self._metadata = system, Metadata(system)
        now = str(int(clock.timestamp()))  # by the names that older and newer versions read
        self._environment = {"E2FSCK_TIME": now, "E2FSPROGS_FAKE_TIME": now, "LC_ALL": "C"}

    def read(self, image: Path, runs: Sequence[tuple[int, int]]) -> Reading:
        """What it makes of a data partition in a file, which it repairs in place.

        The exit codes of a look at it, of the repair, and of a full look at the result (`-fn`); a
        digest of the content then in `runs` (first sector of the disk, sectors), without what is
        bookkeeping in it.
        """
        codes = [self._fsck(word, image) for word in ("-n", "-p", "-fn")]
        with image.open("rb") as stream:
            content = b"".join(self._plain(stream.fileno(), *run) for run in runs)
        return codes[0], codes[1], codes[2], digest(content)

    def _fsck(self, how: str, image: Path) -> int:
        done = process.run(
            ["e2fsck", how, image], timeout=_SECONDS, check=False, env=self._environment
        )
        if done.returncode not in _KNOWN:
            raise LabError(f"e2fsck {how} does not work", details=done.stderr[-2000:])
        return done.returncode

    def _plain(self, image: int, first: int, count: int) -> bytes:
        """Sectors of the disk, in a file that begins where the partition does."""
        start = first * SECTOR - self._system.offset
        data = bytearray(os.pread(image, count * SECTOR, start).ljust(count * SECTOR, b"\0"))
        for sector in range(first, first + count):
            at = (sector - first) * SECTOR
            if sector in self._metadata.inodes:
                plain = self._metadata.plain_inodes(sector, bytes(data[at : at + SECTOR]))
                data[at : at + SECTOR] = plain
            elif 0 <= (half := sector - self._system.superblock) < 2:
                start = self._system.superblock * SECTOR - self._system.offset
                whole = bytearray(plain_superblock(os.pread(image, 2 * SECTOR, start)))
                for field, length in _CHECKED:
                    whole[field : field + length] = bytes(length)
                data[at : at + SECTOR] = whole[half * SECTOR : (half + 1) * SECTOR]
        return bytes(data)


def selection(bootloader: str, copies: Sequence[bytes], folder: Path) -> str:
    """What the boot selection's own tool prints of the two copies, and its exit codes."""
    files = []
    for number, copy in enumerate(copies):
        files.append(folder / f"copy-{number}")
        files[-1].write_bytes(copy)
    told = []
    for argv in _TOOLS[bootloader](files):
        done = process.run(argv, timeout=_SECONDS, check=False)
        told.append(f"{done.returncode}\n{done.stdout}")
    return "\n".join(told)


def _grub(files: Sequence[Path]) -> list[list[str | Path]]:
    return [["grub-editenv", file, "list"] for file in files]


def _u_boot(files: Sequence[Path]) -> list[list[str | Path]]:
    """Both copies are one environment; libubootenv wants absolute names."""
    table = files[0].with_name("fw_env.config")
    table.write_text("".join(f"{f.resolve()} 0x0 {f.stat().st_size:#x}\n" for f in files))
    return [["fw_printenv", "-c", table]]


_TOOLS: Mapping[str, Callable[[Sequence[Path]], list[list[str | Path]]]] = {
    "grub": _grub,
    "u-boot": _u_boot,
}
