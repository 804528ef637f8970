"""A card behind a mux: flashed by its block map, read back, and refused where it must be."""

import hashlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.boards.hardware.card import BOARD, HOST, Card, CardLook
from harness.boards.hardware.card_host import HostCard
from harness.boards.hardware.kind import require_told
from harness.errors import ConfigurationError, LabError
from harness.log import Event, sink
from tests.unit.boards.fake_bench import FakeMux, LocalStorage

SERIAL = "CARD-1"
SIZE = 16 << 20
BLOCK = 4096
BMAP = """<?xml version="1.0" ?>
<bmap version="2.0"><ImageSize> {size} </ImageSize><BlockSize> 4096 </BlockSize>
<BlockMap><Range> 0-1 </Range><Range> 512 </Range><Range> 1023-1025 </Range></BlockMap></bmap>
"""


@dataclass
class Reader:
    """A loop device on a file that is called like the card, and what a test changes about it."""

    loop: str
    file: Path
    mux: FakeMux = field(default_factory=FakeMux)
    off: bool = True

    def card(self, serial: str = SERIAL) -> Card:
        storage = LocalStorage(self.loop)
        return Card("desk", self.mux, storage, serial=serial, is_off=lambda: self.off)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    file = tmp_path / SERIAL
    file.write_bytes(b"\xee" * SIZE)  # of whoever had it before
    yield from _looped(file)


def _looped(file: Path, *options: str) -> Iterator[Reader]:
    words = ["losetup", "--find", "--show", *options, str(file)]
    loop = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield Reader(loop, file)
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "disk.img"
    with file.open("wb") as out:
        out.truncate(8 << 20)
        for block in (0, 1, 512, 1023, 1024, 1025):
            out.seek(block * BLOCK)
            out.write(bytes([block % 251 + 1]) * BLOCK)
    file.with_name("disk.img.bmap").write_text(BMAP.format(size=8 << 20))
    return file


def test_what_is_flashed_is_there_and_nothing_of_before(reader: Reader, image: Path) -> None:
    card = reader.card()
    card.flash(image)
    assert (card.where(), card.read(0, 8 << 20)) == (HOST, image.read_bytes())
    assert card.read(8 << 20, 512) == b"\xee" * 512
    assert card.sha256(BLOCK, 100) == hashlib.sha256(b"\2" * 100).hexdigest()


def test_a_part_is_changed(reader: Reader) -> None:
    card = reader.card()
    card.overwrite(512, b"abc")
    assert card.read(510, 6) == b"\xee\xeeabc\xee"


def test_what_the_board_writes_is_read_and_not_what_the_host_remembers(reader: Reader) -> None:
    card = reader.card()
    assert card.read(0, 4) == b"\xee" * 4
    card.give(BOARD)
    with reader.file.open("r+b") as medium:  # the board
        medium.write(b"new!")
    assert card.read(0, 4) == b"new!"


def test_a_mux_that_says_board_and_leaves_the_card_at_its_host_is_told(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.boards.hardware.card._SWITCH", 1.0)
    card = reader.card()
    card.give(BOARD)
    assert card.seen()
    with pytest.raises(LabError, match="says 'dut', and the card is still at"):
        card.require_gone()
    gone = Card("desk", reader.mux, LocalStorage("/dev/loop9999"), serial=SERIAL, is_off=bool)
    assert not gone.seen()
    gone.require_gone()


def test_a_card_at_the_board_stays_there_while_it_is_on(reader: Reader, image: Path) -> None:
    reader.off = False
    for use in (lambda: reader.card().flash(image), lambda: reader.card().read(0, 1)):
        with pytest.raises(LabError, match="is on: its card stays where it is"):
            use()
    reader.mux.mode = HOST  # somebody else has switched it
    with pytest.raises(LabError, match="is on: its card cannot be read"):
        reader.card().read(0, 1)


def test_a_stuck_mux_is_noticed(reader: Reader, image: Path) -> None:
    reader.mux.stuck = True
    with pytest.raises(LabError, match="was switched to 'host', and says 'dut'"):
        reader.card().flash(image)


@pytest.mark.parametrize(
    ("serial", "told"), [("CARD-2", "its serial is CARD-1, not CARD-2"), ("", "names no card")]
)
def test_another_card_than_the_named_one_is_refused(
    reader: Reader, image: Path, serial: str, told: str
) -> None:
    with pytest.raises(LabError, match=told):
        reader.card(serial).flash(image)
    assert reader.file.read_bytes() == b"\xee" * SIZE


def test_a_card_that_makes_a_board_virtual_is_looked_at_whenever_it_is_used(
    reader: Reader, image: Path
) -> None:
    """When the board was opened, the board itself had it."""

    def told(look: CardLook) -> None:
        require_told(Path("lab.yaml"), "desk", {}, "192.0.2.1", look)

    storage = LocalStorage(reader.loop)
    card = Card("desk", reader.mux, storage, serial=SERIAL, is_off=lambda: True, require=told)
    with pytest.raises(ConfigurationError, match=r"virtual is missing: its card is a loop device"):
        card.flash(image)
    assert reader.file.read_bytes() == b"\xee" * SIZE


USB = "devices/pci0000:00/0000:00:14.0/usb1/1-3"


@pytest.mark.parametrize(
    ("files", "block", "serial"),
    [
        ({f"{USB}/serial": "READER-1"}, f"{USB}/1-3:1.0/host6/block/sda", "READER-1"),
        ({}, f"{USB}/1-3:1.0/host6/block/sda", ""),  # of the host controller, and not its own
        ({"devices/pci0000:00/serial": "DISK"}, "devices/pci0000:00/host1/block/sdb", ""),
        (
            {"devices/mmc0/mmc0:0001/cid": "CARD-7"},
            "devices/mmc0/mmc0:0001/block/mmcblk0",
            "CARD-7",
        ),
        (
            {"devices/mmc0/mmc0:0001/cid": "", "devices/mmc0/serial": "HOST"},
            "devices/mmc0/mmc0:0001/block/mmcblk0",
            "",
        ),
    ],
)
def test_a_reader_without_a_serial_has_not_that_of_what_it_is_plugged_into(
    tmp_path: Path, files: dict[str, str], block: str, serial: str
) -> None:
    usb = {f"{USB}/idVendor": "0bda", f"{USB}/../idVendor": "1d6b", f"{USB}/../serial": "0000:00"}
    (tmp_path / block).mkdir(parents=True)
    for name, text in {**(usb if USB in block else {}), **files}.items():
        (tmp_path / name).write_text(f"{text}\n")
    (tmp_path / block / "device").symlink_to((tmp_path / block).parents[1])
    card = HostCard("/dev/null")
    card._folder = tmp_path / block
    assert card._serial() == serial


def test_a_mounted_card_is_refused(reader: Reader, image: Path, tmp_path: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", reader.loop], check=True)
    folder = tmp_path / "there"
    folder.mkdir()
    subprocess.run(["mount", reader.loop, folder], check=True)
    try:
        with pytest.raises(LabError, match=f"mounted on {folder}"):
            reader.card().flash(image)
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_card_that_is_too_small_is_refused(reader: Reader, image: Path) -> None:
    with image.open("r+b") as file:
        file.truncate(SIZE + BLOCK)
    image.with_name("disk.img.bmap").write_text(BMAP.format(size=SIZE + BLOCK))
    with pytest.raises(LabError, match=f"it has {SIZE} bytes, {SIZE + BLOCK} are needed"):
        reader.card().flash(image)


def test_a_read_only_card_is_refused(tmp_path: Path, image: Path) -> None:
    file = tmp_path / SERIAL
    file.write_bytes(bytes(SIZE))
    for reader in _looped(file, "--read-only"):
        with pytest.raises(LabError, match="it is read-only"):
            reader.card().flash(image)


def test_a_map_of_another_image_is_refused(reader: Reader, image: Path) -> None:
    image.with_name("disk.img.bmap").write_text(BMAP.format(size=4096))
    with pytest.raises(ConfigurationError, match="is of an image of 4096 bytes"):
        reader.card().flash(image)


def test_a_card_that_does_not_keep_what_was_written_is_noticed(reader: Reader, image: Path) -> None:
    """A worn or counterfeit one: the device has changed when it is read back."""
    card = reader.card()
    damaged = sink(lambda event: _damage(event, reader.file))
    with damaged, pytest.raises(LabError, match="does not hold what was written"):
        card.flash(image)


def _damage(event: Event, medium: Path) -> None:
    if (event["event"], event.get("step")) == ("begin", "read back"):
        with medium.open("r+b") as file:
            file.seek(512 * BLOCK)
            file.write(b"?")
