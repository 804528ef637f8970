"""Power faults against the medium's own counter, fed with the writes of an update."""

import threading
from pathlib import Path

import pytest

from harness.boards.qemu.nbd.store import PowerLost, Store
from harness.boards.qemu.nbd.watch import Watch
from harness.errors import ConfigurationError
from harness.faults.power import Changes, CutPhase, PowerFault, trigger
from harness.medium.model import Loss

KIB = 1024
LAYOUT = {
    "boot-selection": (512 * KIB, 320 * KIB),
    "boot-selection-1": (512 * KIB, 64 * KIB),
    "boot-selection-2": (768 * KIB, 64 * KIB),
    "boot": (1024 * KIB, 64 * KIB),
    "slot-A": (2048 * KIB, 1024 * KIB),
    "slot-B": (3072 * KIB, 1024 * KIB),
    "data": (4096 * KIB, 1024 * KIB),
}
PAYLOAD = 400 * KIB
CHUNK = 40 * KIB

Op = tuple[str, int, int]  # what it is, offset, length; a mark has no length


class Grub:
    """RAUC and GRUB: a change is copy 1, then copy 2."""

    changes = Changes(change=1024, half=512, idle=0)

    def change(self, what: str, *, by_client: bool = True) -> list[Op]:
        return [(f"{what} {n}", LAYOUT[f"boot-selection-{n}"][0], 512) for n in (1, 2)]


class UBoot:
    """Mender and U-Boot on an SD card: one copy a change, sector by sector, in turns; the client
    writes the selection as it is before each of its changes."""

    changes = Changes(change=64 * KIB, half=512, idle=1)

    def __init__(self) -> None:
        self._copy = 1

    def change(self, what: str, *, by_client: bool = True) -> list[Op]:
        return [*(self._write("idle") if by_client else []), *self._write(what)]

    def _write(self, what: str) -> list[Op]:
        self._copy = 3 - self._copy
        start = LAYOUT[f"boot-selection-{self._copy}"][0]
        return [(f"{what} {n + 1}", start + n * 512, 512) for n in range(128)]


def data(what: str) -> Op:
    return (what, LAYOUT["data"][0] + 8 * KIB, 4 * KIB)


def update(machine: "Grub | UBoot", *, end: str = "commit") -> list[Op]:
    """All writes of an update of slot B, and the marks between."""
    slot = LAYOUT["slot-B"][0]
    grub = isinstance(machine, Grub)
    return [
        ("boot 1", 0, 0),
        *(machine.change("count old", by_client=False) if grub else []),
        data("data old"),
        *machine.change("attempt back"),
        data("download"),
        *(machine.change("mark bad") if grub else []),
        *[(f"slot {n + 1}", slot + n * CHUNK, CHUNK) for n in range(PAYLOAD // CHUNK)],
        data("status"),
        *machine.change("switch"),
        data("shutdown"),
        ("boot 2", 0, 0),
        *machine.change("count new", by_client=False),
        data("mount"),
        *machine.change(end),
        data("after"),
    ]


def struck(phase: CutPhase, machine: Grub | UBoot, ops: list[Op], number: int = 0) -> str:
    """What the power cut comes with."""
    cut = trigger(phase, LAYOUT, "B", PAYLOAD, changes=machine.changes, next_boot=2, number=number)
    watch = Watch(cut)
    for what, offset, length in ops:
        if watch.written(offset, length) if length else watch.marked(what):
            return f"{'before' if cut.before else 'after'} {what}"
    return "never"


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("write:10%", "after slot 1"),
        ("write:50%", "after slot 5"),
        ("write:90%", "after slot 9"),
        ("switch", "after switch 1"),
        ("bootloader", "after count new 1"),
        ("first-boot", "after mount"),
        ("commit", "after commit 1"),
        ("rollback", "after commit 1"),
    ],
)
@pytest.mark.parametrize("machine", [Grub, UBoot])
def test_each_phase_strikes_at_its_write(
    phase: str, expected: str, machine: type[Grub | UBoot]
) -> None:
    made = machine()
    assert struck(CutPhase(phase), made, update(made)) == expected


@pytest.mark.parametrize(
    ("phase", "number", "expected"),
    [
        ("switch-write", 1, "after switch 1"),
        ("switch-write", 2, "after switch 2"),
        ("boot-write", 1, "after count new 1"),
        ("boot-write", 3, "after commit 1"),
        ("boot-write", 99, "never"),
    ],
)
def test_writes_can_be_counted(phase: str, number: int, expected: str) -> None:
    made = Grub()
    assert struck(CutPhase(phase), made, update(made), number) == expected


def test_before_the_switch_is_before_whatever_comes_first() -> None:
    grub, u_boot = Grub(), UBoot()
    assert struck(CutPhase.BEFORE_SWITCH, grub, update(grub)) == "before switch 1"
    assert struck(CutPhase.BEFORE_SWITCH, u_boot, update(u_boot)) == "before idle 1"


@pytest.mark.parametrize("machine", [Grub(), UBoot()])
def test_armed_just_before_the_reboot_it_strikes_at_the_same_write(machine: Grub | UBoot) -> None:
    ops = update(machine)
    rest = ops[ops.index(data("shutdown")) :]
    for phase in CutPhase:
        if not phase.during_install and not phase.is_word and not phase.is_counted:
            assert struck(phase, machine, rest) == struck(phase, machine, ops) != "never"


def test_an_install_that_never_happens_never_strikes() -> None:
    for phase in CutPhase:
        if not phase.is_word and not phase.is_counted:
            assert struck(phase, Grub(), update(Grub())[:6]) == "never"


@pytest.mark.parametrize("region", ["boot-selection", "slot-B"])
def test_a_layout_without_the_region_is_a_clear_error(region: str) -> None:
    layout = {k: v for k, v in LAYOUT.items() if k != region}
    with pytest.raises(ConfigurationError, match=f"no region '{region}'"):
        trigger(CutPhase.SWITCH, layout, "B", PAYLOAD, changes=Grub.changes, next_boot=2)


@pytest.mark.parametrize("phase", list(CutPhase))
@pytest.mark.parametrize("loss", ["none", "all", "some:7", "torn:12"])
def test_printed_form_reads_back(phase: CutPhase, loss: str) -> None:
    number = 7 if phase.is_counted else 0
    fault = PowerFault(phase=phase, loss=Loss.parse(loss), number=number)
    assert str(fault) == f"{phase}{f':{number}' * bool(number)}/{loss}"
    assert PowerFault.parse(str(fault)) == fault


@pytest.mark.parametrize(
    "text",
    [
        *("", "switch", "switch/", "nowhere/none", "switch/torn:x"),
        *("boot-write/none", "boot-write:0/none", "boot-write:x/none", "switch:2/none"),
        *("boot-write:1000/none", "switch/only:3", "switch/torn:3:1", "switch/all~2"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid|is no phase|names writes"):
        PowerFault.parse(text)


@pytest.mark.parametrize(
    ("phase", "copy1_written"), [(CutPhase.BEFORE_SWITCH, False), (CutPhase.SWITCH, True)]
)
def test_the_medium_stops_on_the_right_side_of_the_switch(
    tmp_path: Path, phase: CutPhase, copy1_written: bool
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(8 * 1024 * KIB))
    store = Store(tmp_path / "medium")
    (tmp_path / "medium").mkdir()
    store.load(image)
    store.arm(trigger(phase, LAYOUT, "B", PAYLOAD, changes=Grub.changes, next_boot=2))
    writer = threading.Thread(target=_play, args=(store, update(Grub())), daemon=True)
    writer.start()
    assert store.wait_tripped(10)
    store.drop(Loss.parse("all"))
    store.release()
    writer.join(10)
    era = store.attach()
    found = []
    for region in ("boot-selection-1", "boot-selection-2"):
        buffer = bytearray(512)
        store.read_into(era, buffer, LAYOUT[region][0])
        found.append(bytes(buffer))
    store.detach(era)
    store.close()
    marked_bad, switched = bytes([3]) * 512, bytes([4]) * 512
    assert found == [switched if copy1_written else marked_bad, marked_bad]


def _play(store: Store, ops: list[Op]) -> None:
    """Send the writes; the boot selection holds the number of its generation in each byte."""
    era = store.attach()
    generation = {1: 0, 2: 0}
    try:
        for what, offset, length in ops:
            if not length:
                store.mark(what)
                continue
            number = int(what[-1]) if length == 512 else 0
            if number:
                generation[number] += 1
            store.write(era, bytes([generation.get(number, 0)]) * length, offset)
    except PowerLost:
        return


def test_a_number_is_ascii() -> None:
    with pytest.raises(ValueError, match="boot-write:N"):
        PowerFault.parse("boot-write:\N{ARABIC-INDIC DIGIT THREE}/none")
