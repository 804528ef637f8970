"""GRUB itself, in QEMU, with the gateway's own grub.cfg: which slot it chooses and what it writes.

The slots hold no kernel, so each boot ends where GRUB asks for a reboot, and QEMU with it.
"""

import shlex
import shutil
from pathlib import Path

import pytest

from harness import process
from harness.builders.debian import disk, recipe
from harness.builders.debian.bootloaders import grub
from harness.builders.debian.bootloaders.grub import environment_block
from harness.product.layout import SECTOR, Piece, Region
from tests.unit.builders import samples

RECIPE = Path("images/legacy-gateway")
FIRST = grub.SELECTION_1 * SECTOR
SECOND = grub.SELECTION_2 * SECTOR


class Machine:
    """A disk with GRUB on it; `boot` is one power-on."""

    def __init__(self, image: Path) -> None:
        self.image = image
        self._console = image.with_suffix(".console")

    def write(self, first: bytes, second: bytes) -> None:
        with self.image.open("r+b") as stream:
            for offset, block in ((FIRST, first), (SECOND, second)):
                stream.seek(offset)
                stream.write(block)

    def copies(self) -> tuple[bytes, bytes]:
        content = self.image.read_bytes()
        return content[FIRST : FIRST + 512], content[SECOND : SECOND + 512]

    def boot(self, *, pwrite: str = "") -> str:
        """`pwrite`: what the disk does with a write at byte $4, as nbdkit-eval-plugin(1) has it; by
        default it is as good as a file."""
        drive = f"if=ide,format=raw,file={'nbd:unix:$unixsocket' if pwrite else self.image}"
        qemu = [
            *("qemu-system-i386", "-M", "pc", "-accel", "tcg", "-m", "64", "-nic", "none"),
            *("-drive", drive, "-display", "none", "-serial", f"file:{self._console}"),
            "-no-reboot",
        ]
        process.run(self._served(qemu, pwrite) if pwrite else qemu, timeout=180)
        return self._console.read_text(errors="replace")

    def _served(self, qemu: list[str], pwrite: str) -> list[str]:
        size = f"get_size=echo {self.image.stat().st_size}"
        pread = (
            f"pread=dd if={self.image} iflag=skip_bytes,count_bytes skip=$4 count=$3 2>/dev/null"
        )
        words = ["nbdkit", "-U", "-", "eval", size, pread, f"pwrite={pwrite}"]
        quoted = " ".join(word if "$" in word else shlex.quote(word) for word in qemu)
        return [*words, "flush=true", "can_flush=echo 1", "--run", quoted]


def _image(folder: Path, *more: Path) -> Path:
    boots = [str(path.resolve()) for path in (RECIPE / "boot", *more)]
    small = recipe.load(samples.recipe_folder(folder / "recipe", boot=boots))
    (folder / "slot").write_bytes(bytes(4096))
    work = folder / "work"
    work.mkdir()
    pieces = grub.pieces(small, [], {}, work)
    regions = grub.regions(small)
    pieces += [Piece(s, folder / "slot", regions[s], "0x83") for s in ("slot-A", "slot-B")]
    return disk.make(
        folder / "disk.img",
        signature="0badcafe",
        pieces=pieces,
        data=Region(*regions["data"]),
        folder=work,
        epoch=1,
    )


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _image(tmp_path_factory.mktemp("grub"))


@pytest.fixture
def machine(fresh: Path, tmp_path: Path) -> Machine:
    return Machine(Path(shutil.copy(fresh, tmp_path)))


def _block(old: str, new: str) -> bytes:
    return environment_block().replace(old.encode(), new.encode())


def test_counts_down_then_takes_the_other_slot_then_starts_over(machine: Machine) -> None:
    expected = [("A", 2), ("A", 1), ("A", 0), ("B", 2), ("B", 1), ("B", 0), ("A", 2)]
    for slot, left in expected:
        assert f"slot {slot}, good, {left} attempts left" in machine.boot()
        first, second = machine.copies()
        assert first == second
        assert f"{slot}_left={left}\n".encode() in first
        assert len(first) == 512
    assert b"B_left=3\n" in machine.copies()[0]  # starting over gave B its attempts back, too


def test_order_decides(machine: Machine) -> None:
    block = environment_block(generation=5, order="B A", states=("good", "trial"))
    machine.write(block, block)
    assert "slot B, trial, 2 attempts left" in machine.boot()


def test_bad_slots_are_passed_over(machine: Machine) -> None:
    block = environment_block(generation=5, order="B A", states=("good", "bad"))
    machine.write(block, block)
    assert "slot A, good, 2 attempts left" in machine.boot()


@pytest.mark.parametrize(
    "torn", [bytes(512), b"\xff" * 512, _block("gen_tail=00000001", "gen_tail=00000000")]
)
def test_a_lost_copy_is_neither_used_nor_written(machine: Machine, torn: bytes) -> None:
    good = environment_block(generation=7, order="B A")
    machine.write(torn, good)
    assert "slot B, good, 2 attempts left" in machine.boot()
    assert machine.copies() == (torn, good.replace(b"B_left=3", b"B_left=2"))
    machine.write(good, torn)
    assert "slot B, good, 2 attempts left" in machine.boot()
    assert machine.copies() == (good.replace(b"B_left=3", b"B_left=2"), torn)


def test_an_older_second_copy_is_left_alone(machine: Machine) -> None:
    """The power went between the two writes of a new generation."""
    new = environment_block(generation=9, order="B A", states=("good", "trial"))
    old = environment_block(generation=8, states=("good", "bad"))
    machine.write(new, old)
    assert "slot B, trial, 2 attempts left" in machine.boot()
    assert machine.copies() == (new.replace(b"B_left=3", b"B_left=2"), old)


def test_an_older_first_copy_is_left_alone(machine: Machine) -> None:
    """A disk that refuses to write the first copy, and still takes the second."""
    old = environment_block(generation=8, states=("good", "bad"))
    new = environment_block(generation=10, order="B A", states=("good", "trial"))
    machine.write(old, new)
    assert "slot B, trial, 2 attempts left" in machine.boot()
    assert machine.copies() == (old, new.replace(b"B_left=3", b"B_left=2"))


DISKS = {  # what it does with a write at byte $4
    "refuses": "echo EIO >&2; exit 1",
    "forgets": "cat >/dev/null",
    "refuses the first copy": f"[ $4 != {FIRST} ] || {{ echo EIO >&2; exit 1; }}; cat >/dev/null",
}


@pytest.mark.parametrize("pwrite", DISKS.values(), ids=DISKS)
def test_a_trial_that_cannot_be_counted_is_left(machine: Machine, pwrite: str) -> None:
    """It would be tried for ever: the counter never falls."""
    block = environment_block(generation=5, order="B A", states=("good", "trial"))
    machine.write(block, block)
    said = machine.boot(pwrite=pwrite)
    assert "attempts of slot B cannot be counted" in said
    assert "slot A, good" in said
    assert "slot B, trial, 2" in machine.boot()  # control: a disk that does what it is asked


@pytest.mark.parametrize("states", [("good", "good"), ("bad", "trial")])
def test_one_that_is_committed_or_alone_is_booted(machine: Machine, states: list[str]) -> None:
    block = environment_block(generation=5, order="B A", states=states)
    machine.write(block, block)
    assert f"slot B, {states[1]}, 2" in machine.boot(pwrite=DISKS["refuses"])


@pytest.mark.parametrize("pwrite", ["", DISKS["refuses"]], ids=["counts", "refuses"])
@pytest.mark.parametrize(
    ("states", "other"),
    [
        (("good", "good"), True),
        (("good", "trial"), True),
        (("good", "bad"), False),  # may be half of a version
        (("trial", "bad"), False),
    ],
)
def test_a_committed_version_that_does_not_load_is_left_in_the_same_boot(
    machine: Machine, states: list[str], pwrite: str, *, other: bool
) -> None:
    """A disk that refuses writes counts nothing: it would be tried for ever."""
    block = environment_block(generation=5, order="A B", states=states)
    machine.write(block, block)
    said = machine.boot(pwrite=pwrite)
    assert said.index("slot A does not load") > said.index(f"slot A, {states[0]}, 2")
    assert (f"slot B, {states[1]}" in said, "slot B does not load" in said) == (other, other)


def test_a_trial_that_does_not_load_is_a_failed_attempt(machine: Machine) -> None:
    block = environment_block(generation=5, order="B A", states=("good", "trial"))
    machine.write(block, block)
    for left in (2, 1, 0):
        said = machine.boot()
        assert f"slot B, trial, {left}" in said
        assert "slot A" not in said
    assert "slot A, good, 2" in machine.boot()


def test_both_copies_lost_still_boots_something(machine: Machine) -> None:
    machine.write(bytes(512), bytes(512))
    said = machine.boot()
    assert "both copies are bad" in said
    assert "boot selection: slot " in said
    assert machine.copies() == (bytes(512), bytes(512))


def test_both_slots_bad_still_boots_something(machine: Machine) -> None:
    block = environment_block(states=("bad", "bad"))
    machine.write(block, block)
    assert "boot selection: slot A, bad" in machine.boot()


def test_negative_control_never_counts(tmp_path: Path) -> None:
    machine = Machine(_image(tmp_path, RECIPE / "variants/no-boot-counter/boot"))
    for _ in range(3):
        assert "slot A, good, 3 attempts left" in machine.boot()
    assert machine.copies() == (environment_block(), environment_block())
    _never_left(machine)


def _never_left(machine: Machine) -> None:
    """A trial that does not load is begun for ever, with all its attempts."""
    block = environment_block(generation=5, order="B A", states=("good", "trial"))
    machine.write(block, block)
    for _ in range(4):
        said = machine.boot()
        assert "slot B, trial, 3" in said
        assert "slot A" not in said


def test_negative_control_counts_what_loads(tmp_path: Path) -> None:
    machine = Machine(_image(tmp_path, RECIPE / "variants/counter-late/boot"))
    _never_left(machine)


def test_the_late_counter_differs_in_nothing_else() -> None:
    """A copy of the whole configuration: it must not fall behind the product's."""
    product = Path("images/legacy-gateway/boot/grub.cfg").read_text().splitlines()
    late = Path("images/legacy-gateway/variants/counter-late/boot/grub.cfg").read_text()
    comment, *lines = late.splitlines()
    assert comment.startswith("# Negative control")
    assert sorted(map(str.strip, lines)) == sorted(map(str.strip, product))
    [counted] = [n for n, line in enumerate(lines) if line.strip() == "count_down"]
    [loaded] = [n for n, line in enumerate(lines) if line.strip().startswith("if initrd ")]
    assert counted > loaded


def test_negative_control_does_not_read_back(tmp_path: Path) -> None:
    """Of a disk that refuses writes; of one that does not, it counts as the product does."""
    machine = Machine(_image(tmp_path, RECIPE / "variants/count-not-read-back/boot"))
    block = environment_block(generation=5, order="B A", states=("good", "trial"))
    machine.write(block, block)
    for _ in range(3):
        said = machine.boot(pwrite=DISKS["refuses"])
        assert "slot B, trial, 2" in said
        assert "cannot be counted" not in said
    for left in (2, 1, 0):
        assert f"slot B, trial, {left}" in machine.boot()
    assert "slot A, good, 2" in machine.boot()


def test_what_is_not_read_back_differs_in_nothing_else() -> None:
    product = Path("images/legacy-gateway/boot/grub.cfg").read_text().splitlines()
    other = Path("images/legacy-gateway/variants/count-not-read-back/boot/grub.cfg").read_text()
    comment, *lines = other.splitlines()
    assert comment.startswith("# Negative control")
    left = [line for line in product if line not in lines]
    assert [line for line in lines if line not in product] == ["    set counted=yes"]
    begins, ends = (product.index(f"function {name} {{") for name in ("count_down", "leave_trial"))
    assert all(line in product[begins:ends] for line in left)
