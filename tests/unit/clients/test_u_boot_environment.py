"""U-Boot's redundant environment, made and read by U-Boot's own tools (mkenvimage, libubootenv)."""

import zlib
from pathlib import Path

import pytest

from harness import process
from harness.clients.boot_selection import BootSelection, Copies, Slot
from harness.clients.selection_format import selection_format
from harness.clients.u_boot_environment import (
    SIZE,
    counting,
    halfway,
    parse,
    redundant,
    variables,
)
from harness.errors import ConfigurationError

FIRST, SECOND = 0x100000, 0x200000


def environment(part: int = 2, available: int = 0, count: int = 0, *, serial: int = 1) -> bytes:
    """One copy: its variables lie behind the first sector, as on a device."""
    lines = {
        "a": "long" * 200,
        "bootcount": count,
        "mender_boot_part": part,
        "mender_boot_part_hex": part,
        "upgrade_available": available,
    }
    text = "".join(f"{key}={value}\0" for key, value in lines.items()).encode() + b"\0"
    data = text.ljust(SIZE - 5, b"\0")
    return zlib.crc32(data).to_bytes(4, "little") + bytes([serial]) + data


def selection(copy: bytes) -> BootSelection:
    found = parse(copy)
    assert found is not None
    return found


def test_attempts_are_those_of_the_product() -> None:
    found = parse(environment(3, 1, 4), 5)
    assert str(found) == "B>A A=good/5 B=trial/1 gen 1"


@pytest.mark.parametrize(
    ("part", "available", "count", "printed", "primary"),
    [
        (2, 0, 0, "A>B A=good/3 B=bad/3 gen 1", "A"),
        (3, 0, 2, "B>A A=bad/3 B=good/3 gen 1", "B"),
        (3, 1, 0, "B>A A=good/3 B=trial/3 gen 1", "B"),
        (3, 1, 1, "B>A A=good/3 B=trial/2 gen 1", "B"),
        (2, 1, 3, "A>B A=trial/0 B=good/3 gen 1", "B"),
        (3, 1, 4, "B>A A=good/3 B=trial/0 gen 1", "A"),
    ],
)
def test_menders_variables_in_our_words(
    part: int, available: int, count: int, printed: str, primary: str
) -> None:
    found = selection(environment(part, available, count))
    assert (str(found), found.primary) == (printed, primary)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(SIZE),
        environment()[:-1],
        environment(part=4),
        environment(available=2),
        environment()[:512] + environment(part=3, serial=2)[512:],
        environment()[:-512] + b"\1" * 512,
    ],
)
def test_what_no_complete_write_leaves_is_none(content: bytes) -> None:
    assert parse(content) is None


@pytest.mark.parametrize(("old", "new"), [(1, 2), (254, 255), (255, 0)])
def test_the_newer_copy_counts(old: int, new: int) -> None:
    before = selection(environment(serial=old))
    after = selection(environment(3, 1, serial=new))
    for copies in ((before, after), (after, before)):
        assert counting(copies) is after
        assert redundant(copies)
    assert counting((before, None)) is before
    assert counting((None, None)) is None
    assert not redundant((before, None))
    assert not redundant((before, before))


def test_cut_in_the_middle_of_a_change() -> None:
    switch = (Slot.B, "bad/3", "trial/3")
    before, after = selection(environment()), selection(environment(3, 1, serial=2))
    cases: list[tuple[Copies, bool]] = [
        ((before, None), True),
        ((None, before), True),
        ((before, after), False),
        ((before, before), False),
        ((None, after), False),
        ((None, None), False),
    ]
    for copies, expected in cases:
        assert halfway(copies, *switch) is expected


def test_agrees_with_libubootenv_over_every_write(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as stream:
        stream.truncate(3 << 20)
        for offset, serial in ((FIRST, 254), (SECOND, 253)):
            stream.seek(offset)
            stream.write(environment(serial=serial))
    config = tmp_path / "fw_env.config"
    config.write_text(f"{disk} {FIRST:#x} {SIZE:#x}\n{disk} {SECOND:#x} {SIZE:#x}\n")
    generations = []
    for name, value in (("upgrade_available", "1"), ("bootcount", "1"), ("bootcount", "2")):
        process.run(["fw_setenv", "-c", config, name, value], timeout=10)
        content = disk.read_bytes()
        raw = content[FIRST : FIRST + SIZE], content[SECOND : SECOND + SIZE]
        copies = selection(raw[0]), selection(raw[1])
        used = counting(copies)
        assert used is not None
        assert redundant(copies)
        generations.append(used.generation)
        printed = process.run(["fw_printenv", "-c", config], timeout=10).stdout
        said = dict(line.split("=", 1) for line in printed.splitlines())
        assert variables(raw[copies.index(used)]) == said
    assert generations == [255, 0, 1]


def test_formats_by_name() -> None:
    assert selection_format("u-boot").CHANGE == SIZE
    assert selection_format("grub").CHANGE == 1024
    with pytest.raises(ConfigurationError, match="'lilo'"):
        selection_format("lilo")
