"""A medium that is a crash state answers as a flat one of the same content, byte for byte."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from harness.boards.qemu.nbd.client import Medium
from harness.boards.qemu.nbd.store import Refused, Store
from harness.errors import LabError
from harness.medium.model import Loss

from .nbd_client import board, done
from .reference import SECTORS, SIZE, Reference, scramble

Extent = tuple[int, int, int, int]


def write_state(folder: Path, files: list[Path], extents: list[Extent], **other: Any) -> Path:
    path = folder / "state-file.json"
    state = {"size": SIZE, "files": [str(file) for file in files], "extents": extents, **other}
    path.write_text(json.dumps(state))
    return path


def some_state(folder: Path, base: Path, chance: random.Random) -> tuple[Path, bytes]:
    """Random extents over two more files and zeros, and the content that they make."""
    folder.mkdir()
    files = [base, folder / "log.bin", folder / "older.bin"]
    for file in files[1:]:
        file.write_bytes(chance.randbytes(SIZE))
    data = [file.read_bytes() for file in files]
    content, extents = bytearray(data[0]), []
    at = chance.randrange(4)
    while at < SECTORS:
        count = min(chance.randint(1, 9), SECTORS - at)
        number = chance.randrange(-1, 3)
        place = 0 if number < 0 else chance.randrange(SIZE - count * 512)
        new = bytes(count * 512) if number < 0 else data[number][place : place + count * 512]
        content[at * 512 : (at + count) * 512] = new
        extents.append((at, count, number, place))
        at += count + chance.choice([0, 0, 3, 10])
    return write_state(folder, files, extents), bytes(content)


def a_loss(chance: random.Random, reference: Reference) -> Loss:
    """Any kind of loss that fits what is unflushed."""
    forms = ["none", "all", f"some:{chance.randrange(99)}", f"torn:{chance.randrange(99)}"]
    unflushed = reference.unflushed()
    if unflushed:
        named = chance.choice(unflushed)
        forms += [f"only:{named.position}", f"without:{named.position}"] * 2
        sectors = len(named.data) // 512
        if sectors > 1:
            forms += [f"torn:{named.position}:{chance.randrange(1, sectors)}"] * 2
    return Loss.parse(chance.choice(forms))


def runs(sectors: set[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for sector in sorted(sectors):
        if found and sum(found[-1]) == sector:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((sector, 1))
    return found


def read_some(store: Store, reference: Reference, chance: random.Random) -> set[int]:
    """A few reads of a board; the sectors of them that were never written."""
    era, touched = store.attach(), set()
    for _ in range(chance.randint(0, 5)):
        start = chance.randrange(SECTORS)
        count = min(chance.choice([1, 1, 8, 40]), SECTORS - start)
        buffer = bytearray(count * 512)
        store.read_into(era, buffer, start * 512)
        assert buffer == reference.view()[start * 512 : (start + count) * 512]
        touched |= set(range(start, start + count))
    store.detach(era)
    return touched - reference.written()


@pytest.mark.parametrize("seed", range(60))
def test_as_a_flat_image(folder: Path, image: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    state_file, content = some_state(tmp_path / "elsewhere", image, chance)
    store = Store(folder)
    store.load_state(state_file)
    reference, reads = Reference(content), set[int]()
    for _ in range(4):
        for _ in range(3):
            reads |= read_some(store, reference, chance)
            scramble(store, reference, chance, chance.randint(0, 12))
            assert store.peek(0, SIZE) == reference.view()
        store.freeze()
        cut = store.drop(a_loss(chance, reference), digest=True)
        store.release()
        reference.cut(cut)
        assert store.peek(0, SIZE) == reference.view()
        assert cut.sha256 == store.sha256(0, SIZE)
        offset = chance.randrange(SIZE)
        length = chance.randrange(SIZE - offset)
        store.copy(offset, length, tmp_path / "part", as_read=False)
        assert (tmp_path / "part").read_bytes() == reference.view()[offset : offset + length]
    assert store.read_set() == runs(reads)
    store.close()


def loaded(folder: Path, state_file: Path) -> Store:
    store = Store(folder)
    store.load_state(state_file)
    return store


def test_what_a_cut_takes_back_is_read_again(folder: Path, image: Path, tmp_path: Path) -> None:
    store = loaded(folder, write_state(tmp_path, [image], []))
    era = store.attach()
    store.write(era, b"x" * 1024, 1024)
    store.write(era, b"y" * 512, 4096, fua=True)
    for sector in (2, 3, 8):
        store.read_into(era, bytearray(512), sector * 512)
    assert store.read_set() == []
    store.freeze()
    store.drop(Loss.parse("none"))
    store.release()
    era = store.attach()
    store.read_into(era, bytearray(2048), 1536)  # sectors 3 to 6
    store.read_into(era, bytearray(512), 4096)
    assert store.read_set() == [(3, 4)]
    store.close()


def test_large_requests(folder: Path, tmp_path: Path) -> None:
    """More than is copied at once (1 MiB), in files with holes."""
    size, mib = 24 << 20, 1 << 20
    base, other = tmp_path / "base.img", tmp_path / "other.bin"
    data = random.Random(3).randbytes(7 * mib)
    for file in (base, other):
        with file.open("wb") as stream:
            stream.truncate(size)
            stream.seek(5 * mib)
            stream.write(data)
    extents = [(2 * mib // 512, 9 * mib // 512, 1, 4 * mib), (14 * mib // 512, 4096, -1, 0)]
    store = loaded(folder, write_state(tmp_path, [base, other], extents, size=size))
    content = bytearray(base.read_bytes())
    content[2 * mib : 11 * mib] = other.read_bytes()[4 * mib : 13 * mib]
    content[14 * mib : 16 * mib] = bytes(2 * mib)
    reference, era = Reference(bytes(content)), store.attach()
    chance = random.Random(4)
    for fua in (False, True, False, False):
        offset = chance.randrange(20 * mib // 512) * 512
        new = chance.randbytes(3 * mib)
        store.write(era, new, offset, fua=fua)
        reference.change(offset, new, promised=fua)
    store.zero(era, mib, 6 * mib)
    reference.change(mib, bytes(6 * mib), promised=False)
    assert store.peek(0, size) == reference.view()
    store.copy(512, size - 512, tmp_path / "copy", as_read=False)
    assert (tmp_path / "copy").read_bytes() == reference.view()[512:]
    store.freeze()
    reference.cut(store.drop(Loss.parse("torn:2:100")))
    assert store.peek(0, size) == reference.view()
    store.close()


def test_it_uses_the_room_of_what_is_written(folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(random.Random(5).randbytes(8 << 20))
    store = loaded(folder, write_state(tmp_path, [base], [], size=8 << 20))
    era = store.attach()
    store.read_into(era, bytearray(8 << 20), 0)
    store.write(era, b"x" * 4096, 1 << 20)
    used = sum((folder / name).stat().st_blocks * 512 for name in ("content.img", "undo.bin"))
    assert used <= 8192
    store.close()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"extents": [(4, 4, 0, 0), (7, 1, 0, 0)]}, r"extent \(7, 1, 0, 0\) overlaps"),
        ({"extents": [(95, 2, -1, 0)]}, "is not on the disk"),
        ({"extents": [(0, 1, 1, 0)]}, "names no file"),
        ({"extents": [(0, 2, 0, SIZE - 512)]}, "beyond the end of file 0"),
        ({"extents": [(0, 1)]}, "not enough values"),
        ({"extents": 1}, "is no state file"),
        ({"size": 1000}, "not whole sectors"),
        ({"size": 2 * SIZE}, "first file ends before"),
        ({"files": []}, "no files"),
    ],
)
def test_wrong_state_files(
    store: Store, image: Path, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    state = {"size": SIZE, "files": [str(image)], "extents": [], **changes}
    (tmp_path / "wrong.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match=why):
        store.load_state(tmp_path / "wrong.json")
    assert store.peek(0, SIZE) == image.read_bytes(), "the medium before it is gone"


def test_refusals(store: Store, folder: Path, image: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reads are only counted on a crash state"):
        store.read_set()
    with pytest.raises(ValueError, match="belongs to the medium itself"):
        store.load_state(write_state(tmp_path, [folder / "content.img"], []))
    with pytest.raises(FileNotFoundError):
        store.load_state(write_state(tmp_path, [tmp_path / "gone.img"], []))
    state_file = write_state(tmp_path, [image], [])
    store.attach()
    with pytest.raises(Refused, match="power off first"):
        store.load_state(state_file)
    store.freeze()
    store.drop(Loss.parse("none"))
    store.release()
    store.load_state(state_file)
    with pytest.raises(ValueError, match="cannot be saved"):
        store.save(tmp_path)


def test_it_ends_with_its_server(folder: Path, image: Path, tmp_path: Path) -> None:
    loaded(folder, write_state(tmp_path, [image], [])).close()
    store = Store(folder)
    with pytest.raises(Refused, match="load it again"):
        store.attach()
    store.load(image)
    store.close()
    again = Store(folder)
    assert again.peek(0, SIZE) == image.read_bytes()
    again.close()


def test_through_a_real_server(tmp_path: Path, image: Path) -> None:
    state_file, content = some_state(tmp_path / "elsewhere", image, random.Random(6))
    with Medium(tmp_path / "served") as medium:
        medium.load_state(state_file)
        assert medium.read(0, SIZE) == content
        assert medium.read_set() == []
        commands = ["read 0 1k", "write -P 1 1k 4k", "write -f -P 2 2k 1k", "read 1k 8k"]
        with board(medium.uri, *commands) as process:
            done(process)
            medium.freeze()
        with pytest.raises(LabError, match="record 1 is not an unflushed write"):
            medium.drop(Loss.parse("only:1"))
        cut = medium.drop(Loss.parse("torn:0:3"))
        medium.release()
        assert (cut.unflushed, cut.kept, cut.torn) == (1, (0,), (0, 3))
        left = content[:1024] + b"\1" * 1024 + b"\2" * 1024 + content[3072:]
        assert medium.read(0, SIZE) == left
        reads = medium.read_set()
        assert reads[0][0] == 0 and (10, 8) in reads
        medium.copy(512, 4096, tmp_path / "part", as_read=True)
        assert (tmp_path / "part").read_bytes() == left[512:4608]
        assert medium.read_set() == [(0, 2), (6, 3), (10, 8)]
        with pytest.raises(LabError, match="cannot be saved"):
            medium.save(tmp_path / "saved")
        with pytest.raises(LabError, match="not on the medium"):
            medium.copy(SIZE, 512, tmp_path / "part")
