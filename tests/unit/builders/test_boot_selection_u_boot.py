"""The Pi's /usr/sbin/boot-selection, the script itself, with libubootenv's tools, on a file."""

import json
import os
from pathlib import Path

import pytest

from harness import process
from harness.clients import u_boot_environment
from harness.clients.boot_selection import BootSelection, Copies
from harness.clients.u_boot_environment import SIZE
from tests.unit.clients.test_u_boot_environment import FIRST, SECOND, environment

OVERLAY = Path("images/rpi4/overlay").resolve()
SCRIPT = OVERLAY / "usr/sbin/boot-selection"


class Disk:
    """A card with two copies, and the script that works on it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self.folder = folder
        with self.path.open("wb") as stream:
            stream.truncate(3 << 20)
        self.put(FIRST, environment(serial=2))
        self.put(SECOND, environment(serial=1))
        config = (OVERLAY / "etc/fw_env.config").read_text()
        (folder / "config").write_text(config.replace("/dev/gateway-disk", str(self.path)))

    def put(self, offset: int, copy: bytes) -> None:
        with self.path.open("r+b") as stream:
            stream.seek(offset)
            stream.write(copy)

    def get(self, offset: int) -> bytes:
        return self.path.read_bytes()[offset : offset + SIZE]

    @property
    def copies(self) -> Copies:
        """As the judge reads them."""
        return (
            u_boot_environment.parse(self.get(FIRST)),
            u_boot_environment.parse(self.get(SECOND)),
        )

    def run(
        self, *words: str, booted: str = "A", check: bool = True, path: str = ""
    ) -> process.Completed:
        return process.run(
            ["sh", SCRIPT, *words],
            timeout=30,
            check=check,
            env={
                "BOOT_SELECTION_CONFIG": str(self.folder / "config"),
                "BOOT_SELECTION_INITIAL": str(OVERLAY / "etc/u-boot-initial-env"),
                "BOOT_SELECTION_LOCK": str(self.folder / "lock"),
                "BOOT_SELECTION_BOOTED": booted,
                "TMPDIR": str(self.folder),
                "PATH": f"{path}{os.environ['PATH']}",
            },
        )

    def show(self, *, booted: str = "A") -> BootSelection:
        return BootSelection.parse_show(self.run("show", booted=booted).stdout)

    def agreed(self) -> BootSelection:
        """What the script shows, which must be what the judge reads from the medium."""
        shown, read = self.show(), u_boot_environment.counting(self.copies)
        assert read == shown
        assert shown.copies_ok == tuple(copy is not None for copy in self.copies)
        return shown


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.mark.parametrize(
    ("variables", "printed", "primary"),
    [
        ((2, 0, 0), "A>B A=good/3 B=bad/3 gen 3", "A"),
        ((3, 0, 2), "B>A A=bad/3 B=good/3 gen 3", "B"),
        ((3, 1, 1), "B>A A=good/3 B=trial/2 gen 3", "B"),
        ((2, 1, 3), "A>B A=trial/0 B=good/3 gen 3", "B"),
        ((3, 1, 4), "B>A A=good/3 B=trial/0 gen 3", "A"),
    ],
)
def test_show_says_what_the_judge_reads(
    disk: Disk, variables: tuple[int, int, int], printed: str, primary: str
) -> None:
    disk.put(SECOND, environment(*variables, serial=3))
    assert str(disk.agreed()) == printed
    assert disk.run("get-primary").stdout == f"{primary}\n"


@pytest.mark.parametrize(("first", "second"), [(255, 0), (0, 255), (7, 8), (8, 7)])
def test_the_newer_copy_counts(disk: Disk, first: int, second: int) -> None:
    disk.put(FIRST, environment(2, serial=first))
    disk.put(SECOND, environment(3, serial=second))
    assert disk.agreed().primary == ("B" if (first, second) in ((255, 0), (7, 8)) else "A")


def test_select_is_one_write_to_the_other_copy(disk: Disk) -> None:
    disk.put(SECOND, environment(3, 1, 1, serial=3))
    before = disk.get(SECOND)
    disk.run("select", "A")
    assert disk.get(SECOND) == before
    assert str(disk.agreed()) == "A>B A=good/3 B=bad/3 gen 4"
    assert u_boot_environment.redundant(disk.copies)
    found = u_boot_environment.variables(disk.get(FIRST))
    assert found is not None
    assert found["a"] == "long" * 200  # what else is in the environment stays


def test_nothing_is_written_without_need(disk: Disk) -> None:
    before = disk.path.read_bytes()
    disk.run("select", "A")
    disk.run("show")
    assert disk.path.read_bytes() == before


@pytest.mark.parametrize("torn", [FIRST, SECOND])
def test_a_torn_copy_is_shown_and_repaired(disk: Disk, torn: int) -> None:
    disk.put(torn + SIZE - 512, b"\1" * 512)
    assert disk.agreed().copies_ok == (torn != FIRST, torn != SECOND)
    disk.run("select", "A")
    assert disk.agreed().copies_ok == (True, True)
    assert u_boot_environment.redundant(disk.copies)


def test_a_copy_torn_after_any_sector_is_never_believed(disk: Disk) -> None:
    """Of the sectors that hold variables; the rest is padding, the same in both."""
    new = environment(3, 1, serial=3)
    old = disk.get(SECOND)
    for cut in range(512, 1024 + 512, 512):
        disk.put(SECOND, new[:cut] + old[cut:])
        shown = disk.agreed()
        assert (shown.primary, shown.copies_ok) == (
            ("B", (True, True)) if new[cut:] == old[cut:] else ("A", (True, False))
        )


def test_both_copies_lost_keeps_to_the_running_slot(disk: Disk) -> None:
    disk.put(FIRST, bytes(SIZE))
    disk.put(SECOND, b"\xff" * SIZE)
    shown = disk.show(booted="B")
    assert str(shown) == "B>A A=bad/3 B=trial/3 gen 0, copy 1 bad, copy 2 bad"
    disk.run("select", "B", booted="B")
    assert disk.agreed().primary == "B"
    assert u_boot_environment.redundant(disk.copies)


def test_a_write_that_the_card_forgets_is_no_success(disk: Disk, tmp_path: Path) -> None:
    """Both copies are whole afterwards, and say what they said before."""
    disk.put(SECOND, environment(3, 1, 1, serial=3))
    before = disk.path.read_bytes()
    (tmp_path / "bin").mkdir()
    forgets = tmp_path / "bin/fw_setenv"
    forgets.write_text("#!/bin/sh\nexec cat >/dev/null\n")
    forgets.chmod(0o755)
    done = disk.run("select", "A", check=False, path=f"{tmp_path}/bin:")
    assert disk.path.read_bytes() == before
    assert done.returncode != 0
    assert "cannot be read back" in done.stderr


def test_one_copy_that_cannot_be_written_keeps_what_counts(disk: Disk, tmp_path: Path) -> None:
    """libubootenv writes the copy that does not count, and only that: docs/boot-selection.md."""
    config = (tmp_path / "config").read_text().splitlines()
    config[-1] = "/dev/full 0x0 0x10000"  # it reads as zeros, and takes nothing
    (tmp_path / "config").write_text("\n".join(config) + "\n")
    disk.put(FIRST, environment(3, 1, 1, serial=3))
    before = disk.path.read_bytes()
    done = disk.run("select", "A", check=False)
    assert (done.returncode != 0, disk.path.read_bytes() == before) == (True, True)
    assert "boot-selection: cannot write the environment" in done.stderr


@pytest.mark.parametrize(
    "words", [["select", "C"], ["select"], ["set-state", "A", "good"], ["erase"], []]
)
def test_nonsense_is_refused(disk: Disk, words: list[str]) -> None:
    before = disk.path.read_bytes()
    assert disk.run(*words, check=False).returncode != 0
    assert disk.path.read_bytes() == before


def test_an_unknown_partition_is_refused(disk: Disk) -> None:
    disk.put(FIRST, environment(5, serial=2))
    done = disk.run("show", check=False)
    assert done.returncode != 0
    assert "mender_boot_part=5" in done.stderr


def test_the_device_and_the_builder_mean_the_same_places() -> None:
    lines = (OVERLAY / "etc/fw_env.config").read_text().splitlines()
    places = [
        tuple(int(number, 16) for number in line.split()[1:]) for line in lines if line[0] == "/"
    ]
    assert places == [(FIRST, SIZE), (SECOND, SIZE)]
    json.loads((OVERLAY / "etc/mender/mender.conf").read_text())
