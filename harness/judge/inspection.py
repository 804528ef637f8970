"""What is on the medium of a board, read behind the back of the software under test.

The second step of a judgement. A board whose medium can only be read while it is off must be off.
"""

from dataclasses import dataclass
from typing import ClassVar

from harness.boards.board import Board
from harness.clients.boot_selection import BootSelection, Copies, Slot, SlotChoice, SlotState
from harness.clients.client import DeviceStatus
from harness.clients.selection_format import SelectionFormat, format_of, read_copies
from harness.judge import oracle
from harness.judge.verdict import Invariant, NotChecked
from harness.product.layout import selection_copies
from harness.product.profile import ContentCheck
from harness.product.release import Release

_CONTENTS = ("slot-content", "selectable-slots-known")
_NO_ORACLE = "the product names no oracle for its slots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Of one board, against the two versions that an update leads from and to. Where things are is
    said by the release that it was flashed with. `bad`: one more that may be in a slot, since it
    was tried there: a design may keep such a version selectable, without an attempt."""

    NAMES: ClassVar[tuple[str, ...]] = (
        *_CONTENTS,
        "boot-selection",
        "boot-selection-agrees",
        "boot-selection-redundant",
        "attempts-restored",
    )  # all the invariants that it can tell of

    board: Board
    old: Release
    new: Release
    flashed: Release
    bad: Release | None = None

    @staticmethod
    def not_looked_at(flashed: Release) -> tuple[NotChecked, ...]:
        """Those of NAMES that nobody can look at in such a product, whatever a board can do."""
        left = []
        if flashed.product.slots.content is ContentCheck.NONE:
            left += [NotChecked(name=each, why=_NO_ORACLE) for each in _CONTENTS]
        if len(selection_copies(flashed.layout)) < 2:
            left.append(NotChecked(name="boot-selection-redundant", why="there is one copy"))
        return tuple(left)

    @property
    def format(self) -> SelectionFormat:
        """How the board's bootloader keeps the boot selection."""
        return format_of(self.flashed.product)

    def copies(self) -> Copies:
        """The copies of the boot selection that the layout names; None for a torn one."""
        return read_copies(self.flashed, self.board.can.medium_read.read)

    def selection(self) -> BootSelection | None:
        """The boot selection as the bootloader will read it."""
        return self.format.counting(self.copies())

    def content(self, slot: Slot) -> str:
        """`old`, `new` or `bad`, whichever release fills the slot, or ``."""
        medium, region = self.board.can.medium_read, self.flashed.layout[slot.region]
        known = {"old": self.old, "new": self.new, "bad": self.bad}
        return oracle.which(medium, region, {name: each for name, each in known.items() if each})

    def check(
        self, status: DeviceStatus, running: str
    ) -> tuple[tuple[Invariant, ...], tuple[NotChecked, ...]]:
        """All of NAMES, of a board that says `status` and so runs `old`, `new` or nothing known,
        and those of them that nobody can look at in such a product."""
        copies = self.copies()
        selection = self.format.counting(copies)
        found = [*_selected(selection, status), self._attempts(selection, status)]
        left = [*self.not_looked_at(self.flashed)]
        if self.flashed.product.slots.content is not ContentCheck.NONE:
            found += self._contents(selection, status, running)
        if len(copies) > 1:
            redundant, told = self.format.redundant(copies), [str(copy) for copy in copies]
            found.append(Invariant.of("boot-selection-redundant", redundant, f"copies: {told}"))
        if status.boot_selection is None:
            left.append(NotChecked(name="boot-selection-agrees", why="the device does not tell it"))
        return tuple(found), tuple(left)

    def _contents(
        self, selection: BootSelection | None, status: DeviceStatus, running: str
    ) -> tuple[Invariant, Invariant]:
        contents = {slot: self.content(slot) for slot in Slot}
        return (
            Invariant.of(
                "slot-content",
                bool(running) and contents[status.slot] == running,
                f"runs {running or 'unknown'} in slot {status.slot}, whose content is "
                f"{contents.get(status.slot) or 'neither version'}",
            ),
            _selectable(selection, contents),
        )

    def _attempts(self, selection: BootSelection | None, status: DeviceStatus) -> Invariant:
        choice = selection.slots[status.slot] if selection else None
        return Invariant.of(
            "attempts-restored",
            choice is not None and choice.left == self.flashed.product.promises.attempts,
            f"slot {status.slot}: {choice}",
        )


def _selectable(selection: BootSelection | None, contents: dict[Slot, str]) -> Invariant:
    unknown = [
        slot for slot in Slot if selection and not _is_known(selection.slots[slot], contents[slot])
    ]
    holds = selection is not None and not unknown
    return Invariant.of("selectable-slots-known", holds, f"unknown: {unknown}")


def _is_known(choice: SlotChoice, content: str) -> bool:
    """Whether a slot is never chosen, or holds what is to be chosen."""
    used_up = content == "bad" and not choice.left
    return choice.state is SlotState.BAD or content in ("old", "new") or used_up


def _selected(selection: BootSelection | None, status: DeviceStatus) -> list[Invariant]:
    there = f"on the medium: {selection}"
    right = (
        selection is not None
        and selection.primary == status.slot
        and selection.slots[status.slot].state is SlotState.GOOD
    )
    found = [Invariant.of("boot-selection", right, f"{there}, running slot {status.slot}")]
    if status.boot_selection is not None:
        same, said = selection == status.boot_selection, status.boot_selection
        found.append(Invariant.of("boot-selection-agrees", same, f"{there}, by the device: {said}"))
    return found
