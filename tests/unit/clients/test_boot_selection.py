import pytest

from harness.clients.boot_selection import (
    BootSelection,
    Slot,
    SlotChoice,
    SlotState,
)
from harness.clients.grub_environment import parse as parse_environment_block

SHOW = """\
gen_head=00000007
order=B A
A_state=good
A_left=3
B_state=trial
B_left=2
gen_tail=00000007
copy1=ok
copy2=bad
"""
SELECTION = BootSelection(
    order=(Slot.B, Slot.A),
    slots={
        Slot.A: SlotChoice(state=SlotState.GOOD, left=3),
        Slot.B: SlotChoice(state=SlotState.TRIAL, left=2),
    },
    generation=7,
)


def block(show: str = SHOW) -> bytes:
    """A copy on the medium, as grub-editenv(1) lays it out, of 512 bytes."""
    lines = "".join(f"{line}\n" for line in show.splitlines() if not line.startswith("copy"))
    return f"# GRUB Environment Block\n{lines}".encode().ljust(512, b"#")


def test_show_and_block_say_the_same() -> None:
    shown = BootSelection.parse_show(SHOW)
    assert shown == SELECTION
    assert shown.copies_ok == (True, False)
    assert parse_environment_block(block()) == SELECTION


def test_slots_are_found_by_plain_letters() -> None:
    assert SELECTION.slots[Slot("B")].state == "trial"
    assert (Slot.A.other, Slot.B.region) == (Slot.B, "slot-B")


@pytest.mark.parametrize(
    ("order", "a", "b", "primary", "on_trial"),
    [
        ("A B", "good/3", "good/3", "A", None),
        ("B A", "good/3", "trial/2", "B", "B"),
        ("B A", "good/3", "trial/0", "A", "B"),
        ("B A", "good/3", "bad/3", "A", None),
        ("A B", "good/0", "trial/0", "A", "B"),
        ("B A", "good/0", "bad/0", "A", None),
        ("B A", "bad/3", "bad/3", "B", None),
    ],
)
def test_primary_is_what_the_bootloader_boots(
    order: str, a: str, b: str, primary: str, on_trial: str | None
) -> None:
    variables = {"gen_head": "1", "gen_tail": "1", "order": order}
    for slot, choice in (("A", a), ("B", b)):
        variables[f"{slot}_state"], variables[f"{slot}_left"] = choice.split("/")
    selection = BootSelection.parse(variables)
    assert selection.primary == primary
    assert selection.on_trial == on_trial


def test_prints_on_one_line() -> None:
    assert str(SELECTION) == "B>A A=good/3 B=trial/2 gen 7"
    assert str(BootSelection.parse_show(SHOW)).endswith("gen 7, copy 2 bad")


BROKEN = {
    "torn": SHOW.replace("gen_tail=00000007", "gen_tail=00000006"),
    "no such state": SHOW.replace("A_state=good", "A_state=fine"),
    "too many attempts": SHOW.replace("A_left=3", "A_left=10"),
    "one slot twice": SHOW.replace("order=B A", "order=B B"),
    "one slot only": SHOW.replace("order=B A", "order=B"),
    "no order": SHOW.replace("order=B A\n", ""),
    "no number": SHOW.replace("00000007", "seven"),
}


@pytest.mark.parametrize("show", BROKEN.values(), ids=BROKEN)
def test_what_is_not_in_the_format_is_refused(show: str) -> None:
    with pytest.raises(ValueError, match=r"boot selection|not a valid Slot"):
        BootSelection.parse_show(show)
    assert parse_environment_block(block(show)) is None


@pytest.mark.parametrize(
    "content",
    [
        bytes(512),
        b"",
        block()[:511],
        block() + b"#",
        block()[:100] + bytes(412),
        block()[:-1] + b"\0",
        block().replace(b"# GRUB", b"# grub"),
        block().replace(b"gen_tail=00000007\n", b"gen_tail=00000007"),
        block().replace(b"order", b"\xff\xfe\xfd\xfc\xfb"),
        block(SHOW.replace("order=B A\nA_state=good", "A_state=good\norder=B A")),
        block(SHOW.replace("gen_tail", "more=1\ngen_tail")),
    ],
)
def test_a_sector_that_was_not_written_completely_is_none(content: bytes) -> None:
    assert parse_environment_block(content) is None


def test_more_attempts_than_a_product_gives_were_not_written_by_it() -> None:
    copy = block(SHOW.replace("A_left=3", "A_left=4").partition("copy1")[0])
    assert parse_environment_block(copy) is None
    assert str(parse_environment_block(copy, 5)) == "B>A A=good/4 B=trial/2 gen 7"
