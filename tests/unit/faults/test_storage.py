"""Storage faults as data."""

import pytest

from harness.crash.disk.ext4 import FileSystem
from harness.errors import ConfigurationError
from harness.faults.power import CutPhase
from harness.faults.storage import DataFault, MediumFault, StorageFault, Where
from harness.medium.model import Failing, Misdeed
from tests.unit.boards.fake import FakeBoard


def test_printed_form_reads_back() -> None:
    fault = StorageFault(length=32768)
    assert str(fault) == "zero-tail:32768"
    assert StorageFault.parse(str(fault)) == fault


@pytest.mark.parametrize("text", ["", "zero-tail", "zero-tail:", "zero-tail:0", "zero-head:1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a storage fault|invalid literal"):
        StorageFault.parse(text)


def test_the_tail_of_a_range() -> None:
    assert StorageFault(length=32768).within(1 << 20, 65536) == ((1 << 20) + 32768, 32768)
    assert StorageFault(length=32768).within(512, 512) == (512, 512)


LAYOUT = {"slot-B": (4096, 8192)}


@pytest.mark.parametrize(
    ("text", "failing"),
    [
        ("eio-write@slot-B", Failing(what=Misdeed.WRITE_ERROR, offset=4096, length=8192)),
        ("forget-write@medium", Failing(what=Misdeed.FORGOTTEN_WRITE)),
        ("forget-flush@medium", Failing(what=Misdeed.FORGOTTEN_FLUSH)),
        ("slow:0.25s@medium", Failing(what=Misdeed.SLOW, seconds=0.25)),
    ],
)
def test_a_medium_that_fails(text: str, failing: Failing) -> None:
    fault = MediumFault.parse(text)
    assert str(fault) == text
    assert fault.failing(LAYOUT) == failing


@pytest.mark.parametrize(
    "text",
    [
        *("", "eio-write", "eio@slot-B", "slow@medium", "slow:0s@medium", "slow:1@medium"),
        *("eio-read:1s@medium", "forget-flush@slot-B", "eio-write@slot-B x"),
    ],
)
def test_what_no_medium_does(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a|slow|flush"):
        MediumFault.parse(text)


@pytest.mark.parametrize(
    ("text", "since", "number"),
    [
        ("eio-write@medium/write:50%", CutPhase.WRITE_50, 0),
        ("slow:0.25s@data/first-boot", CutPhase.FIRST_BOOT, 0),
        ("forget-flush@medium/committed", CutPhase.COMMITTED, 0),
        ("forget-write@boot-selection/boot-write:3", CutPhase.NTH_BOOT, 3),
    ],
)
def test_a_medium_that_fails_from_a_phase_on(text: str, since: CutPhase, number: int) -> None:
    fault = MediumFault.parse(text)
    assert (str(fault), fault.since, fault.number) == (text, since, number)


@pytest.mark.parametrize(
    "text",
    [
        *("eio-write@medium/", "eio-write@medium/half", "eio-write@medium/write:51%"),
        *("eio-write@medium/switch/none", "eio-write@medium/boot-write", "slow@medium/switch"),
        *("eio-write@medium/boot-write:0", "eio-write@medium/switch-write:1000"),
    ],
)
def test_what_is_no_phase_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"no phase|not a fault|slow"):
        MediumFault.parse(text)


@pytest.mark.parametrize(
    ("text", "read_only", "boots"),
    [
        ("eio-write@medium", True, True),
        ("forget-write@boot-selection", True, True),
        ("eio-write@slot-B", False, True),
        ("forget-flush@medium", False, True),
        ("eio-read@medium", False, False),
        ("slow:5s@medium", False, False),
    ],
)
def test_what_can_be_wanted_meanwhile(text: str, read_only: bool, boots: bool) -> None:
    fault = MediumFault.parse(text)
    assert (fault.is_read_only, fault.lets_it_boot) == (read_only, boots)


def test_a_region_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="there is no slot-C") as refused:
        MediumFault.parse("eio-write@slot-C").failing(LAYOUT)
    assert "medium, slot-B" in refused.value.hint


SYSTEM = FileSystem(
    offset=1 << 20,
    length=1 << 24,
    block_size=4096,
    inode_size=256,
    inodes_per_group=32768,
    descriptor_size=64,
    checksums=True,
    counted_inodes=False,
    seed=0,
    journal=(900, 901),
    parts=(
        (0, 0, "superblock"),
        (1, 1, "Group descriptors"),
        (33, 33, "Block bitmap"),
        (34, 34, "Block bitmap"),
        (35, 35, "Inode bitmap"),
        (37, 2084, "Inode table"),
        (32768, 32768, "superblock"),
    ),
)


class Medium(FakeBoard):
    """What a fault does to a board."""

    def __init__(self, superblock: bytes = b"") -> None:
        self.superblock = superblock
        self.done: list[tuple[str, int, int]] = []
        self.content = b""

    def read(self, offset: int, length: int) -> bytes:
        assert (offset, length) == (SYSTEM.offset + 1024, 1024)
        return self.superblock

    def overwrite(self, offset: int, content: bytes) -> None:
        self.done.append(("overwrite", offset - SYSTEM.offset, len(content)))
        self.content = content

    def harm(self, offset: int, length: int) -> None:
        self.done.append(("harm", offset - SYSTEM.offset, length))


BLOCKS = {
    Where.SUPERBLOCK: 0,
    Where.DESCRIPTORS: 1,
    Where.BLOCK_BITMAP: 33,
    Where.INODE_BITMAP: 35,
    Where.INODE_TABLE: 37,
    Where.JOURNAL: 900,
}


@pytest.mark.parametrize("where", Where)
def test_one_block_is_struck(where: Where) -> None:
    for how, done in (("destroyed", "overwrite"), ("unreadable", "harm")):
        fault = DataFault.parse(f"{how}:{where}")
        assert str(fault) == f"{how}:{where}"
        medium = Medium()
        fault.strike(medium.can, SYSTEM)
        assert medium.done == [(done, BLOCKS[where] * 4096, 4096)]


def test_a_torn_superblock_is_newer_in_its_first_sector() -> None:
    whole = bytes(56) + b"\x53\xef" + bytes(range(200)) * 4
    medium = Medium(whole.ljust(1024, b"\0"))
    DataFault.parse("torn:superblock").strike(medium.can, SYSTEM)
    assert medium.done == [("overwrite", 1024, 1024)]
    assert medium.content[512:] == medium.superblock[512:]
    assert medium.content[:512] != medium.superblock[:512]


@pytest.mark.parametrize("text", ["", "torn", "torn:journal", "unreadable:", "melted:superblock"])
def test_what_is_no_fault_of_the_data_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid|only a superblock"):
        DataFault.parse(text)
