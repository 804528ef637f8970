"""Cut points of a real recording at which a superblock is torn: they are found, and survived.

torn-superblock.log.xz is the write log of an update of the gateway and its rollback, cut down to
the data partition's metadata: first what mkfs had put there, then each write to the partition; of
those that are 64 KiB or longer, and of the block of the SSH host key, zeros. At four cut points in
the first boot and eleven in the update the power goes when the first sector of a superblock is new
and the second, with the checksum, is not. An exploration took each of the eleven for the state with
the whole superblock.
"""

import lzma
import os
from pathlib import Path

import pytest

from harness.crash.disk.metadata import superblock_accepted
from harness.crash.states.contents import SECTOR
from harness.crash.states.cut import parse
from harness.crash.states.reader import StateReader
from harness.crash.states.sources import Sources, cut_off
from harness.medium.log import LogReader, RecordKind
from harness.medium.model import Model
from harness.process import run
from tests.unit.clients.data_partition import SERVER, DataPartition

SUPERBLOCK = 1024
FIRST_BOOT = (12, 14, 35, 117)
UPDATE = (129, 131, 360, 370, 372, 606, 616, 618, 641, 651, 653)
STATES = [f"{at + 1}/torn:{at}:3" for at in (*FIRST_BOOT, *UPDATE)]
WHOLE = [state.partition("/")[0] + "/all" for state in STATES]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.bin"
    packed = Path(__file__).with_name("torn-superblock.log.xz")
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    return path


@pytest.fixture(scope="module")
def nothing(log: Path) -> Path:
    """What the log begins on."""
    with LogReader(log) as reader:
        size = reader.origin.size
    path = log.with_name("base.img")
    path.touch()
    os.truncate(path, size)
    return path


def state_of(log: Path, base: Path, state: str, target: Path) -> Path:
    """The data partition of a state."""
    sources = Sources(base.stat().st_size, base)
    cut_off(sources, log, Model.DISK, parse(state).first)
    extents = target.with_suffix(".json")
    sources.save(extents)
    with StateReader(extents) as view:
        view.copy(0, view.size, target)
    return target


def checked(image: Path) -> int:
    return run(["e2fsck", "-p", image], timeout=60, check=False).returncode


def accepted(image: Path) -> bool:
    with image.open("rb") as stream:
        stream.seek(SUPERBLOCK)
        return superblock_accepted(stream.read(SUPERBLOCK))


def test_these_are_all_that_there_are(log: Path) -> None:
    with LogReader(log) as reader:
        writes = [r for r in reader.records() if r.kind is RecordKind.WRITE and r.offset == 0]
        halves = [reader.payload(each)[SUPERBLOCK : 2 * SUPERBLOCK] for each in writes]
    torn = [
        f"{each.position + 1}/torn:{each.position}:3"
        for each, before, after in zip(writes[1:], halves, halves[1:], strict=False)
        if not superblock_accepted(after[:SECTOR] + before[SECTOR:])
    ]
    assert torn == STATES


@pytest.mark.parametrize(("torn", "whole"), zip(STATES, WHOLE, strict=True))
def test_a_boot_that_knows_no_more_than_e2fsck_p_loses_the_partition(
    log: Path, nothing: Path, tmp_path: Path, torn: str, whole: str
) -> None:
    one = state_of(log, nothing, torn, tmp_path / "torn.img")
    other = state_of(log, nothing, whole, tmp_path / "whole.img")
    assert (accepted(one), accepted(other)) == (False, True)
    assert (checked(one), checked(other)) == (8, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.parametrize("state", STATES)
def test_the_gateways_boot_mends_it_and_nothing_is_lost(
    log: Path, nothing: Path, tmp_path: Path, state: str
) -> None:
    """What is on the partition then is what the whole superblock leads to."""
    found = []
    for number, name in enumerate((state, state.partition("/")[0] + "/all")):
        (tmp_path / str(number)).mkdir()
        device = DataPartition(tmp_path / str(number))
        device.crash(state_of(log, nothing, name, tmp_path / f"{number}.img"))
        assert device.run("data").returncode == 0
        try:
            assert device.is_mounted
            tree = sorted(path for path in device.data.rglob("*") if path.is_file())
            content = [(path.relative_to(device.data), path.read_bytes()) for path in tree]
        finally:
            device.unmount()
        assert ("repaired" in device.said) == (number == 0)
        found.append(content)
    assert found[0] == found[1]
    names = {str(path) for path, _ in found[0]}
    assert SERVER in names or state in STATES[: len(FIRST_BOOT)]
