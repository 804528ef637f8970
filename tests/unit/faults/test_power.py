"""Power faults against the medium's own counter, fed with the writes of an update."""

import threading
from pathlib import Path

import pytest

from harness.boards.medium.model import Loss
from harness.boards.medium.store import PowerLost, Store
from harness.boards.medium.watch import Watch
from harness.errors import ConfigurationError
from harness.faults.power import Phase, PowerFault, trigger

KIB = 1024
LAYOUT = {
    "boot-selection-1": (512 * KIB, 512),
    "boot-selection-2": (768 * KIB, 512),
    "boot": (1024 * KIB, 64 * KIB),
    "slot-A": (2048 * KIB, 1024 * KIB),
    "slot-B": (3072 * KIB, 1024 * KIB),
    "data": (4096 * KIB, 1024 * KIB),
}
PAYLOAD = 400 * KIB
CHUNK = 40 * KIB

Op = tuple[str, int, int]  # what it is, offset, length; a mark has no length


def copies(what: str) -> list[Op]:
    return [(f"{what} {n}", LAYOUT[f"boot-selection-{n}"][0], 512) for n in (1, 2)]


def data(what: str) -> Op:
    return (what, LAYOUT["data"][0] + 8 * KIB, 4 * KIB)


def update(*, end: str = "commit") -> list[Op]:
    """All writes of an update of slot B, and the marks between."""
    slot = LAYOUT["slot-B"][0]
    return [
        ("boot 1", 0, 0),
        *copies("grub old"),
        data("data old"),
        *copies("attempt back"),
        data("download"),
        *copies("mark bad"),
        *[(f"slot {n + 1}", slot + n * CHUNK, CHUNK) for n in range(PAYLOAD // CHUNK)],
        data("status"),
        *copies("switch"),
        data("shutdown"),
        ("boot 2", 0, 0),
        *copies("grub new"),
        data("mount"),
        *copies(end),
        data("after"),
    ]


def struck(phase: Phase, ops: list[Op], **options: int) -> str:
    """What the power cut comes with."""
    cut = trigger(phase, LAYOUT, "B", PAYLOAD, next_boot=options.get("next_boot", 2))
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
        ("before-switch", "before switch 1"),
        ("switch", "after switch 1"),
        ("bootloader", "after grub new 1"),
        ("first-boot", "after mount"),
        ("commit", "after commit 1"),
        ("rollback", "after commit 1"),
    ],
)
def test_each_phase_strikes_at_its_write(phase: str, expected: str) -> None:
    assert struck(Phase(phase), update()) == expected


def test_rollback_strikes_in_the_boot_that_marks_the_slot_bad() -> None:
    ops = update()[:-4]  # the new version never gets to its data partition
    for boot in (3, 4):
        ops += [(f"boot {boot}", 0, 0), *copies(f"grub {boot}")]
    ops += [("boot 5", 0, 0), *copies("grub 5"), data("mount"), *copies("mark new bad")]
    assert struck(Phase.ROLLBACK, ops, next_boot=5) == "after mark new bad 1"


def test_armed_just_before_the_reboot_it_strikes_at_the_same_write() -> None:
    ops = update()
    rest = ops[ops.index(data("shutdown")) :]
    for phase in Phase:
        if not phase.during_install:
            assert struck(phase, rest) == struck(phase, ops) != "never"


def test_an_install_that_never_happens_never_strikes() -> None:
    for phase in Phase:
        assert struck(phase, update()[:6]) == "never"


def test_a_layout_without_the_region_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="boot-selection-2"):
        trigger(
            Phase.COMMIT,
            {k: v for k, v in LAYOUT.items() if k != "boot-selection-2"},
            "B",
            PAYLOAD,
            next_boot=2,
        )


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("loss", ["none", "all", "some:7", "torn:12"])
def test_printed_form_reads_back(phase: Phase, loss: str) -> None:
    fault = PowerFault(phase=phase, loss=Loss.parse(loss))
    assert str(fault) == f"{phase}/{loss}"
    assert PowerFault.parse(str(fault)) == fault


@pytest.mark.parametrize("text", ["", "switch", "switch/", "nowhere/none", "switch/torn:x"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid|invalid literal"):
        PowerFault.parse(text)


@pytest.mark.parametrize(
    ("phase", "copy1_written"), [(Phase.BEFORE_SWITCH, False), (Phase.SWITCH, True)]
)
def test_the_medium_stops_on_the_right_side_of_the_switch(
    tmp_path: Path, phase: Phase, copy1_written: bool
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(8 * 1024 * KIB))
    store = Store(tmp_path / "medium")
    (tmp_path / "medium").mkdir()
    store.load(image)
    store.arm(trigger(phase, LAYOUT, "B", PAYLOAD, next_boot=2))
    writer = threading.Thread(target=_play, args=(store, update()), daemon=True)
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
