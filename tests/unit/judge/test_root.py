"""Where the root file system of a device lies, by files as a kernel has them."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.boards.board import CommandResult
from harness.clients.boot_selection import Slot
from harness.judge import root
from harness.judge.verdict import Invariant
from harness.process import run
from harness.product.layout import Region
from tests.unit.boards.fake import FakeBoard

LAYOUT = {"slot-A": Region(1 << 20, 1 << 20), "slot-B": Region(2 << 20, 1 << 20)}
MOUNTS = "1 1 0:2 / / rw - rootfs rootfs rw\n22 1 {} / / rw,relatime shared:1 - ext4 /dev/root rw\n"
MORE = "23 22 179:4 / /data rw - ext4 /dev/data rw\n"


@dataclass
class Device(FakeBoard):
    """Runs what it is asked in a shell here, on files below a folder."""

    top: str = ""

    def run(self, command: str, *, timeout: float) -> CommandResult:
        assert command == root.command()
        done = run(["sh", "-c", root.command(self.top)], timeout=timeout, check=False)
        return CommandResult(stdout=done.stdout, stderr=done.stderr, returncode=done.returncode)


def device(folder: Path, mounted: str, **starts: str) -> Device:
    """`starts`: of which block devices, by the numbers in their names."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/mountinfo").write_text(MOUNTS.format(mounted) + MORE)
    for name, start in {"n179_4": "9999", **starts}.items():
        numbers = name.removeprefix("n").replace("_", ":", 1).replace("_", "/slaves/")
        place = folder / "sys/dev/block" / numbers
        place.mkdir(parents=True, exist_ok=True)
        (place / "start").write_text(f"{start}\n")
    return Device(top=str(folder))


def told(board: Device, slot: Slot) -> bool | None:
    found = root.agrees(board, slot, LAYOUT, timeout=30)
    return found.holds if isinstance(found, Invariant) else None


def test_what_a_device_says_must_be_what_its_kernel_has_mounted(tmp_path: Path) -> None:
    board = device(tmp_path, "179:3", n179_2="2048", n179_3="4096")
    assert told(board, Slot.B) is True
    assert told(board, Slot.A) is False


def test_below_a_mapped_device_its_partitions_count(tmp_path: Path) -> None:
    """dm-verity: the data's, and that of the hashes."""
    board = device(tmp_path, "253:0", n253_0_sda2="2048", n253_0_sda5="7777")
    assert told(board, Slot.A) is True
    assert told(board, Slot.B) is False


@pytest.mark.parametrize(
    ("mounted", "starts"),
    [
        ("0:25", {}),  # an overlay
        ("179:6", {"n179_6": "8888"}),  # a partition that is no slot
        ("253:0", {"n253_0_sda2": "2048", "n253_0_sda3": "4096"}),  # of both
        ("179:2", {"n179_2": "what"}),
    ],
)
def test_where_nobody_can_say_it_is_not_checked(
    tmp_path: Path, mounted: str, starts: dict[str, str]
) -> None:
    board = device(tmp_path, mounted, **starts)
    assert told(board, Slot.A) is None and told(board, Slot.B) is None
