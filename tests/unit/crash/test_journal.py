"""What is predicted of a journal is what e2fsck makes of it, wherever its last writes were torn."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.crash.disk import ext4
from harness.crash.disk.ext4 import FileSystem
from harness.crash.disk.jbd2 import Block, Journal, Recovery
from harness.crash.disk.metadata import needs_recovery
from harness.crash.states.contents import Contents

BLOCK = 1024
MAGIC = bytes.fromhex("c03b3998")
SIZE = 8 << 20
TARGETS = range(6000, 6010)  # blocks that no file has


def run(*words: str | Path) -> tuple[int, str]:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def part(content: bytes, number: int, size: int = BLOCK) -> bytes:
    return content[number * size : (number + 1) * size]


def transactions(folder: Path, count: int, *, checksums: bool = True) -> Path:
    """An image whose journal has the first `count` of four transactions."""
    image = folder / f"{count}.img"
    feature = "metadata_csum,64bit" if checksums else "^metadata_csum"
    run("truncate", "-s", str(SIZE), image)
    words = ["-t", "ext4", "-b", str(BLOCK), "-J", "size=1", "-O", feature]
    code, told = run(
        *("mke2fs", "-q", *words, "-U", "11111111-2222-3333-4444-555555555555"),
        *("-E", "hash_seed=11111111-2222-3333-4444-555555555555", image),
    )
    assert code == 0, told
    chance = random.Random(5)
    files = []
    for number in range(3):
        data = bytearray(chance.randbytes(4 * BLOCK))
        if number == 1:
            data[BLOCK : BLOCK + 4] = MAGIC  # looks like a header of the journal: is escaped
        files.append(folder / f"data-{number}")
        files[-1].write_bytes(data)
    steps = [
        f"jw -b 6000-6003 {files[0]}",
        f"jw -b 6002-6005 {files[1]}",
        "jw -r 6001",
        f"jw -b 6004-6007 {files[2]}",
    ]
    flags = "-c -v 3" if checksums else ""
    # each in a session of its own: a session ends with a new superblock of the journal
    for step in steps[:count]:
        script = folder / "script"
        script.write_text(f"jo {flags}\n{step}\njc\n")
        code, told = run("debugfs", "-w", "-f", script, image)
        assert code == 0 and "rror" not in told, told
    return image


def prediction(image: Path, system: FileSystem) -> tuple[Recovery, Contents]:
    content, contents = image.read_bytes(), Contents()
    journal = Journal(contents, block_size=BLOCK, length=len(system.journal))

    def read(number: int) -> Block:
        at = system.journal[number] * BLOCK
        return tuple(contents.ids(content[at : at + BLOCK]).tolist())

    needed = needs_recovery(content[1024:2048])
    return journal.recovery(read, needed=needed), contents


def recovered(image: Path, system: FileSystem) -> tuple[dict[int, bytes], str]:
    """The blocks that e2fsck changes, outside of the journal and the superblock; what it says."""
    before = image.read_bytes()
    _, told = run("e2fsck", "-fy", "-E", "journal_only", image)
    after = image.read_bytes()
    changed = {
        number: part(after, number)
        for number in range(SIZE // BLOCK)
        if part(before, number) != part(after, number)
        and number not in system.journal
        and number != 1
    }
    return changed, told


def compare(image: Path, system: FileSystem) -> tuple[Recovery, str]:
    predicted, contents = prediction(image, system)
    before = image.read_bytes()
    changed, told = recovered(image, system)
    if not predicted.unknown:
        expected = {
            number: b"".join(map(contents.data, block))
            for number, block in predicted.blocks.items()
        }
        wrong = {n: d for n, d in expected.items() if d != part(before, n)}
        assert changed == wrong, told
    return predicted, told


def test_whole_transactions_a_revocation_and_an_escaped_block(tmp_path: Path) -> None:
    targets = []
    for count in range(5):
        image = transactions(tmp_path, count)
        found, told = compare(image, ext4.find(image, (0, SIZE)))
        assert not found.unknown and not found.torn, told
        targets.append(sorted(found.blocks))
    assert targets == [
        [],
        [6000, 6001, 6002, 6003],
        [*range(6000, 6006)],
        [6000, *range(6002, 6006)],
        [6000, *range(6002, 6008)],
    ]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_last_transaction_of_which_sectors_are_missing(tmp_path: Path, count: int) -> None:
    """Cut off at each sector; each sector lost alone. What lay there before is zeros, or old."""
    older, newer = transactions(tmp_path, count - 1), transactions(tmp_path, count)
    system = ext4.find(newer, (0, SIZE))
    old, new = older.read_bytes(), newer.read_bytes()
    blocks = [n for n in system.journal[1:] if part(old, n) != part(new, n)]
    sectors = [n * 2 + half for n in blocks for half in (0, 1)]
    assert len(sectors) >= 4
    kinds = set[str]()
    filler: list[Callable[[int], bytes]] = [lambda at: old[at : at + 512], lambda _: b"\x5a" * 512]
    for fill in filler:
        missing = [sectors[kept:] for kept in range(len(sectors))] + [[s] for s in sectors]
        for gone in missing:
            content = bytearray(new)
            for sector in gone:
                content[sector * 512 : sector * 512 + 512] = fill(sector * 512)
            newer.write_bytes(content)
            found, told = compare(newer, system)
            assert found.torn == ("was corrupt" in told and not found.unknown), told
            kinds.add("unknown" if found.unknown else "torn" if found.torn else "clean")
    assert kinds >= {"torn", "clean"}


def test_what_it_does_not_know_is_unknown(tmp_path: Path) -> None:
    image = transactions(tmp_path, 2, checksums=False)
    system = ext4.find(image, (0, SIZE))
    assert prediction(image, system)[0].unknown  # no checksums: nothing says what is whole
    image = transactions(tmp_path, 2)
    good = image.read_bytes()
    head = system.journal[0] * BLOCK
    for place, why in ((head + 0x10, "length"), (head + 0x2B, "feature"), (head + 0x23, "error")):
        bad = bytearray(good)
        bad[place] ^= 0x40
        image.write_bytes(bad)
        assert prediction(image, system)[0].unknown, why
    bad = bytearray(good)
    bad[1024 + 0x60] &= ~4  # the superblock does not ask for recovery
    image.write_bytes(bad)
    assert prediction(image, system)[0].unknown


def test_an_empty_journal_that_is_refused_is_unknown(tmp_path: Path) -> None:
    """e2fsck calls it corrupt and makes it anew; a kernel without e2fsck does not mount."""
    image = transactions(tmp_path, 2)
    system = ext4.find(image, (0, SIZE))
    run("e2fsck", "-fy", "-E", "journal_only", image)
    assert prediction(image, system)[0] == Recovery()
    assert run("e2fsck", "-p", image)[0] == 0
    bad = bytearray(image.read_bytes())
    bad[system.journal[0] * BLOCK + 0xFC] ^= 1
    image.write_bytes(bad)
    assert prediction(image, system)[0].unknown
    assert run("e2fsck", "-p", image)[0] == 1


def journal_blocks(image: Path, system: FileSystem, kind: int) -> list[int]:
    """Byte offsets of the journal's blocks of one kind."""
    content = image.read_bytes()
    heads = {n * BLOCK: content[n * BLOCK : n * BLOCK + 8] for n in system.journal[1:]}
    return [at for at, head in heads.items() if head == MAGIC + kind.to_bytes(4, "big")]


def test_a_damaged_commit_behind_a_damaged_descriptor_ends_recovery_with_an_error(
    tmp_path: Path,
) -> None:
    """Then nothing at all is replayed, of no transaction."""
    image = transactions(tmp_path, 2)
    system = ext4.find(image, (0, SIZE))
    bad = bytearray(image.read_bytes())
    bad[journal_blocks(image, system, 2)[-1] + 40] ^= 1
    image.write_bytes(bad)
    assert prediction(image, system)[0].torn
    bad[journal_blocks(image, system, 1)[-1] + 20] ^= 1
    image.write_bytes(bad)
    assert prediction(image, system)[0].unknown
    changed, told = recovered(image, system)
    assert "checksum error" in told and not changed


def test_a_damaged_commit_that_is_older_is_taken_for_an_old_one(tmp_path: Path) -> None:
    image = transactions(tmp_path, 2)
    system = ext4.find(image, (0, SIZE))
    bad = bytearray(image.read_bytes())
    time = journal_blocks(image, system, 2)[-1] + 0x30
    bad[time : time + 8] = (1000).to_bytes(8, "big")
    image.write_bytes(bad)
    found, told = compare(image, system)
    assert not found.torn and not found.unknown and "corrupt" not in told


@pytest.mark.parametrize("start", [0x0FFFFFFF, 1 << 20])
def test_a_journal_that_begins_behind_its_end_is_unknown(tmp_path: Path, start: int) -> None:
    image = transactions(tmp_path, 1)
    system = ext4.find(image, (0, SIZE))
    content = bytearray(image.read_bytes())
    at = system.journal[0] * BLOCK
    head = content[at : at + 1024]
    head[0x1C:0x20] = start.to_bytes(4, "big")
    head[0xFC:0x100] = bytes(4)
    head[0xFC:0x100] = ext4.checksum(bytes(head)).to_bytes(4, "big")
    content[at : at + 1024] = head
    image.write_bytes(content)
    assert prediction(image, system)[0].unknown
