"""/usr/sbin/boot-selection, the script itself, on a plain file as the disk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import process
from harness.builders.debian.bootloaders import grub
from harness.builders.debian.bootloaders.grub import environment_block
from harness.product.layout import SECTOR

SCRIPT = Path("images/legacy-gateway/overlay/usr/sbin/boot-selection").resolve()
FIRST = grub.SELECTION_1 * SECTOR
SECOND = grub.SELECTION_2 * SECTOR


class Disk:
    """A disk with two copies, and the script that works on it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "disk"
        self._lock = folder / "lock"
        self.path_variable = os.environ["PATH"]
        self.put(FIRST, environment_block())
        self.put(SECOND, environment_block())

    def put(self, offset: int, block: bytes) -> None:
        with self.path.open("r+b" if self.path.exists() else "w+b") as stream:
            stream.seek(offset)
            stream.write(block)

    def get(self, offset: int) -> bytes:
        return self.path.read_bytes()[offset : offset + 512]

    def run(self, *words: str, booted: str = "A", check: bool = True) -> process.Completed:
        return process.run(
            ["sh", SCRIPT, *words],
            timeout=30,
            check=check,
            env={
                "BOOT_SELECTION_DEVICE": str(self.path),
                "BOOT_SELECTION_LOCK": str(self._lock),
                "BOOT_SELECTION_BOOTED": booted,
                "PATH": self.path_variable,
            },
        )

    def show(self, *, booted: str = "A") -> dict[str, str]:
        lines = self.run("show", booted=booted).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    yield Disk(tmp_path)


def test_show(disk: Disk) -> None:
    assert list(disk.show().items()) == [
        ("gen_head", "00000001"),
        ("order", "A B"),
        ("A_state", "good"),
        ("A_left", "3"),
        ("B_state", "good"),
        ("B_left", "3"),
        ("gen_tail", "00000001"),
        ("copy1", "ok"),
        ("copy2", "ok"),
    ]


def test_an_update_as_rauc_does_it(disk: Disk) -> None:
    disk.run("set-state", "B", "bad")
    assert disk.run("get-state", "B").stdout == "bad\n"
    assert disk.run("get-primary").stdout == "A\n"
    disk.run("set-primary", "B")
    shown = disk.show()
    assert (shown["order"], shown["B_state"], shown["B_left"]) == ("B A", "trial", "3")
    assert disk.run("get-primary").stdout == "B\n"
    disk.run("set-state", "B", "good")
    shown = disk.show()
    assert (shown["order"], shown["B_state"], shown["gen_head"]) == ("B A", "good", "00000004")
    assert disk.get(FIRST) == disk.get(SECOND)


def test_reject_is_one_write(disk: Disk) -> None:
    disk.run("set-state", "B", "bad")
    disk.run("set-primary", "B")
    disk.run("reject", "B")
    shown = disk.show()
    assert (shown["order"], shown["A_state"], shown["B_state"]) == ("A B", "good", "bad")
    assert shown["gen_head"] == "00000004"


def test_nothing_is_written_without_need(disk: Disk) -> None:
    before = disk.path.read_bytes()
    disk.run("set-state", "A", "good")
    assert disk.path.read_bytes() == before


def test_attempts_come_back_at_commit(disk: Disk) -> None:
    counted = environment_block().replace(b"A_left=3", b"A_left=1")
    disk.put(FIRST, counted)
    disk.put(SECOND, counted)
    assert disk.show()["A_left"] == "1"
    disk.run("set-state", "A", "good")
    assert disk.show()["A_left"] == "3"


def test_a_slot_without_attempts_is_not_primary(disk: Disk) -> None:
    for offset in (FIRST, SECOND):
        disk.put(offset, environment_block().replace(b"A_left=3", b"A_left=0"))
    assert disk.run("get-primary").stdout == "B\n"
    assert disk.run("get-state", "A").stdout == "bad\n"


@pytest.mark.parametrize(
    "words",
    [
        ["set-primary", "C"],
        ["set-primary"],
        ["set-state", "A", "lovely"],
        ["get-state", ""],
        ["erase"],
        [],
    ],
)
def test_nonsense_is_refused(disk: Disk, words: list[str]) -> None:
    before = disk.path.read_bytes()
    assert disk.run(*words, check=False).returncode != 0
    assert disk.path.read_bytes() == before


def test_never_both_slots_bad(disk: Disk) -> None:
    disk.run("set-state", "B", "bad")
    assert disk.run("set-state", "A", "bad", check=False).returncode != 0
    assert disk.show()["A_state"] == "good"


def test_a_lost_copy_is_repaired_by_the_next_write(disk: Disk) -> None:
    disk.put(FIRST, bytes(512))
    shown = disk.show()
    assert (shown["copy1"], shown["copy2"]) == ("bad", "ok")
    disk.run("set-state", "A", "good")
    shown = disk.show()
    assert (shown["copy1"], shown["copy2"]) == ("ok", "ok")
    assert disk.get(FIRST) == disk.get(SECOND)


def test_copy_1_counts_when_the_copies_differ(disk: Disk) -> None:
    disk.put(FIRST, environment_block(generation=2, order="B A", states=("good", "trial")))
    assert disk.run("get-primary").stdout == "B\n"
    disk.run("set-state", "B", "good")
    assert disk.get(FIRST) == disk.get(SECOND)


def test_copy_2_counts_when_it_is_newer(disk: Disk) -> None:
    disk.put(SECOND, environment_block(generation=2, order="B A", states=("good", "trial")))
    assert disk.run("get-primary").stdout == "B\n"
    disk.run("set-state", "B", "good")
    assert disk.show()["gen_head"] == "00000003"
    assert disk.get(FIRST) == disk.get(SECOND)


@pytest.fixture
def refusing(disk: Disk, tmp_path: Path) -> Callable[[int, str], None]:
    """Makes the disk refuse a sector from now on: an error, or nothing and the old content."""

    def refuse(sector: int, how: str) -> None:
        program = tmp_path / "bin" / "dd"
        program.parent.mkdir(exist_ok=True)
        rest = program.read_text() if program.exists() else 'exec /bin/dd "$@"\n'
        end = "cat >/dev/null; exit " + ("1" if how == "error" else "0")
        program.write_text(f'case "$*" in *" seek={sector} "*) {end} ;; esac\n{rest}')
        program.chmod(0o755)
        disk.path_variable = f"{program.parent}:{os.environ['PATH']}"

    return refuse


@pytest.mark.parametrize("how", ["error", "silence"])
@pytest.mark.parametrize("sector", [grub.SELECTION_1, grub.SELECTION_2])
def test_one_copy_that_cannot_be_written_ends_nothing(
    disk: Disk, refusing: Callable[[int, str], None], sector: int, how: str
) -> None:
    refusing(sector, how)
    disk.run("set-state", "B", "bad")
    disk.run("set-primary", "B")
    shown = disk.show()
    assert (shown["order"], shown["B_state"], shown["gen_head"]) == ("B A", "trial", "00000003")
    disk.run("reject", "B")
    shown = disk.show()
    assert (shown["order"], shown["B_state"], shown["gen_head"]) == ("A B", "bad", "00000004")
    assert disk.get(sector * SECTOR) == environment_block()


@pytest.mark.parametrize("how", ["error", "silence"])
def test_two_copies_that_cannot_be_written_are_told(
    disk: Disk, refusing: Callable[[int, str], None], how: str
) -> None:
    for sector in (grub.SELECTION_1, grub.SELECTION_2):
        refusing(sector, how)
    done = disk.run("set-state", "B", "bad", check=False)
    assert done.returncode != 0
    assert "cannot write" in done.stderr


def test_both_copies_lost_keeps_to_the_running_slot(disk: Disk) -> None:
    disk.put(FIRST, bytes(512))
    disk.put(SECOND, b"\xff" * 512)
    shown = disk.show(booted="B")
    assert (shown["order"], shown["A_state"], shown["B_state"]) == ("B A", "bad", "trial")
    assert (shown["copy1"], shown["copy2"]) == ("bad", "bad")
    disk.run("set-state", "B", "good", booted="B")
    assert disk.show()["copy2"] == "ok"


def _old_then_new(old: bytes, new: bytes, cut: int) -> bytes:
    return new[:cut] + old[cut:]


def _new_then_old(old: bytes, new: bytes, cut: int) -> bytes:
    return old[:cut] + new[cut:]


@pytest.mark.parametrize("tear", [_old_then_new, _new_then_old])
@pytest.mark.parametrize("generation", [8, 9, 99])
def test_a_copy_torn_at_any_byte_is_never_believed(
    tmp_path: Path, tear: Callable[[bytes, bytes, int], bytes], generation: int
) -> None:
    """Each tear is either one of the two whole blocks or is called bad: no third state exists."""
    old = environment_block(generation=generation)
    new = environment_block(generation=generation + 1, order="B A", states=("good", "trial"))
    torn = [tear(old, new, cut) for cut in range(513)]
    different = sorted({block for block in torn if block not in (old, new)})
    assert len(different) > 20
    verdicts = _verdicts(tmp_path, [*different, old, new])
    assert verdicts == ["bad"] * len(different) + ["ok", "ok"]


def _verdicts(folder: Path, blocks: list[bytes]) -> list[str]:
    """What the script says about each block; one shell for all of them, for speed."""
    names = []
    for number, block in enumerate(blocks):
        path = folder / f"{number:04d}"
        with path.open("wb") as stream:
            for offset in (FIRST, SECOND):
                stream.seek(offset)
                stream.write(block if offset == FIRST else environment_block(generation=1))
        names.append(path.name)
    loop = f"for name; do BOOT_SELECTION_DEVICE=$PWD/$name sh {SCRIPT} show | grep copy1; done"
    done = process.run(
        ["sh", "-c", loop, "sh", *names],
        timeout=120,
        cwd=folder,
        env={"BOOT_SELECTION_LOCK": str(folder / "lock"), "PATH": os.environ["PATH"]},
    )
    return [line.removeprefix("copy1=") for line in done.stdout.splitlines()]
