"""What a state selects, read from its bytes, and where a board may end for that."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from harness.builders.debian.bootloaders.grub import environment_block
from harness.clients.client import Client
from harness.crash.exploration.selected import Selected, selected
from harness.judge.judge import Judge
from harness.judge.verdict import Judgement, Verdict
from tests.unit.crash.recordings import LAYOUT, NEW, recording, release
from tests.unit.crash.test_prove import Device

BAD = b"bad!" * 512
TORN = environment_block().replace(b"gen_tail=00000001", b"gen_tail=00000002")
TRIAL = environment_block(order="B A", states=("good", "trial"))
WORN = TRIAL.replace(b"B_left=3", b"B_left=0")
COMMITTED = environment_block(order="B A")


def read(folder: Path, first: bytes, second: bytes, slot_b: bytes) -> Selected | None:
    """What is selected by two copies on the medium of a board that is off."""
    found = replace(recording(folder), bad=release(folder / "bad", "1.2.0", BAD))
    board = Device(medium=bytearray(found.base.read_bytes()), folder=folder)
    for region, content in (
        ("boot-selection-1", first),
        ("boot-selection-2", second),
        ("slot-B", slot_b),
    ):
        offset = LAYOUT[region].offset
        board.medium[offset : offset + len(content)] = content
    judge = Judge(
        board=board,
        client=cast(Client, None),
        old=found.old,
        new=found.new,
        flashed=found.old,
        bad=found.bad,
    )
    return selected(found, judge)


@pytest.mark.parametrize(
    ("copies", "slot_b", "wanted"),
    [
        ((TRIAL, TRIAL), NEW, Selected(slot="B", state="trial", left=3, holds="new")),
        ((TRIAL, COMMITTED), NEW, Selected(slot="B", state="trial", left=3, holds="new")),
        ((TORN, COMMITTED), NEW, Selected(slot="B", state="good", left=3, holds="new")),
        ((TRIAL, TRIAL), NEW[:512] + BAD, Selected(slot="B", state="trial", left=3, holds="")),
        ((TRIAL, TRIAL), BAD, Selected(slot="B", state="trial", left=3, holds="bad")),
        ((WORN, WORN), NEW, Selected(slot="A", state="good", left=3, holds="old")),
        ((TORN, TORN), NEW, None),
    ],
)
def test_it_is_read_as_the_bootloader_reads_it(
    tmp_path: Path, copies: tuple[bytes, bytes], slot_b: bytes, wanted: Selected | None
) -> None:
    assert read(tmp_path, *copies, slot_b) == wanted


@pytest.mark.parametrize(
    ("state", "holds", "runs_from", "good"),
    [
        ("good", "new", "B", True),
        ("good", "new", "A", False),  # a committed version has been dropped
        ("trial", "new", "B", True),
        ("trial", "new", "A", False),  # rolled back, and nothing was wrong with it
        ("trial", "", "A", False),  # selected, and it does not run
        ("trial", "bad", "A", True),
        ("good", "bad", "A", False),  # nothing that is committed goes back
    ],
)
@pytest.mark.parametrize("boots", [1, 4])
def test_a_board_must_end_in_it(
    *, state: str, holds: str, runs_from: str, good: bool, boots: int
) -> None:
    ended = Judgement(
        verdict=Verdict.RECOVERED, final="old", boots=boots, invariants=(), slot=runs_from
    )
    chosen = Selected(slot="B", state=state, left=3, holds=holds)
    assert chosen.held(ended).holds is good
