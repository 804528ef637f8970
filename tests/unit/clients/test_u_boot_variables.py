"""U-Boot environments of products that others built, held against libubootenv's fw_printenv."""

import re
import zlib
from pathlib import Path

import pytest

from harness.clients.boot_selection import Slot, SlotState
from harness.clients.selection_format import reader_of
from harness.clients.u_boot_variables import UBootVariables
from harness.errors import ConfigurationError
from harness.process import run
from tests.unit.clients.boot_partitions import fat, source

SIZE = 0x2000
VARIABLES = {"mender_boot_part": "2", "upgrade_available": "0", "bootcount": "0", "x": "y" * 1500}


def environment(serial: int | None = None, **changes: str) -> bytes:
    pairs = {**VARIABLES, **changes}
    text = "".join(f"{name}={value}\0" for name, value in pairs.items()).encode() + b"\0"
    body = text.ljust(SIZE - 4 - (serial is not None), b"\0")
    flag = b"" if serial is None else bytes([serial])
    return zlib.crc32(body).to_bytes(4, "little") + flag + body


def reader(file: str = "", **words: str) -> UBootVariables:
    found = reader_of(source("u-boot-environment", file, **words))
    assert isinstance(found, UBootVariables)
    return found


def printed(folder: Path, *copies: bytes) -> dict[str, str] | None:
    """What fw_printenv says of them; None when it finds no whole one."""
    lines = []
    for number, copy in enumerate(copies):
        (folder / f"env{number}").write_bytes(copy)
        lines.append(f"{folder}/env{number} 0x0 {SIZE:#x}\n")
    (folder / "fw_env.config").write_text("".join(lines))
    (folder / "none").touch()
    argv: list[str | Path] = ["fw_printenv", "-c", folder / "fw_env.config", "-f", folder / "none"]
    done = run(argv, timeout=30, check=False)
    if done.returncode:
        return None
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line) or None


TORN = {
    "whole": environment(),
    "trial": environment(mender_boot_part="3", upgrade_available="1", bootcount="1"),
    "torn": environment()[:512] + environment(x="z" * 1500)[512:],
    "wrong checksum": b"\0" + environment()[1:],
    "erased": b"\xff" * SIZE,
    "zeros": bytes(SIZE),
}


@pytest.mark.parametrize("name", TORN)
def test_one_raw_copy_as_fw_printenv_reads_it(tmp_path: Path, name: str) -> None:
    found = reader(size=str(SIZE)).variables(TORN[name] + bytes(512))  # the region is longer
    assert found == printed(tmp_path, TORN[name])
    assert (found is not None) == (name in ("whole", "trial"))


@pytest.mark.parametrize("name", TORN)
def test_in_a_file_as_fw_printenv_reads_it(tmp_path: Path, name: str) -> None:
    image = fat(tmp_path, {"/uboot.env": TORN[name]})
    run(["mcopy", "-n", "-i", image, "::/uboot.env", tmp_path / "copy"], timeout=30)
    found = reader("/uboot.env").variables(image.read_bytes())
    assert found == printed(tmp_path, (tmp_path / "copy").read_bytes())
    assert (found is not None) == (name in ("whole", "trial"))


@pytest.mark.parametrize("content", [b"", environment()[: SIZE // 2], environment()[:3]])
def test_a_file_that_was_cut_off_is_none(tmp_path: Path, content: bytes) -> None:
    image = fat(tmp_path, {"/uboot.env": content})
    found = reader("/uboot.env", size=hex(SIZE)).parse(image.read_bytes())
    assert found is None


def test_no_file_and_no_file_system_is_none(tmp_path: Path) -> None:
    assert reader("/uboot.env").parse(fat(tmp_path, {}).read_bytes()) is None
    assert reader("/uboot.env").parse(bytes(4096)) is None


@pytest.mark.parametrize(("serials", "newer"), [((1, 2), 1), ((2, 1), 0), ((255, 0), 1)])
def test_two_copies_as_fw_printenv_reads_them(
    tmp_path: Path, serials: tuple[int, int], newer: int
) -> None:
    copies = [
        environment(serial, mender_boot_part="23"[number]) for number, serial in enumerate(serials)
    ]
    form = reader(copies="2")
    parsed = tuple(form.parse(copy, 1) for copy in copies)
    chosen = form.counting(parsed)
    assert chosen is not None
    assert chosen.primary is list(Slot)[newer]
    said = printed(tmp_path, *copies)
    assert said == form.variables(copies[newer])
    assert form.redundant(parsed)
    torn = (parsed[0], None)
    assert form.counting(torn) is parsed[0]
    assert not form.redundant(torn)


def test_attempts_and_the_words_of_a_product() -> None:
    words = {"slot": "root", "A": "a", "B": "b", "trial": "ustate", "count": "tries"}
    form = reader(**words)
    found = form.parse(environment(root="b", ustate="1", tries="2"), 3)
    assert found is not None
    assert str(found) == "B>A A=good/3 B=trial/1 gen 0"
    settled = form.parse(environment(root="b", ustate="0"), 3)
    assert settled is not None
    assert (settled.primary, settled.slots[Slot.A].state) == (Slot.B, SlotState.BAD)
    assert form.parse(environment(root="c"), 3) is None


@pytest.mark.parametrize("words", [{"slots": "x"}, {"size": "large"}])
def test_words_that_nobody_knows(words: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=f"words.{next(iter(words))}"):
        reader(**words)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"A": "2", "B": "2"}, "words.B: '2' is said of slot A, too"),
        ({"size": "-5"}, "words.size: -5 is not within"),
        ({"copies": "7"}, "words.copies: 7 is not within 1 and 2"),
        ({"copies": "none"}, "words.copies: 'none' is no number"),
    ],
)
def test_words_that_say_nothing(words: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(why)):
        reader(**words)
