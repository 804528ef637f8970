"""What is on the medium of a board, read behind the back of the software under test.

The second step of a judgement. A board whose medium can only be read while it is off must be off.
"""

from dataclasses import dataclass
from typing import ClassVar

from harness.boards.board import Board
from harness.clients.boot_selection import BootSelection, Copies, Slot, SlotState
from harness.clients.client import DeviceStatus
from harness.clients.selection_format import SelectionFormat, selection_format
from harness.judge import oracle
from harness.judge.verdict import Invariant
from harness.product.release import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Of one board, against the two versions that an update leads from and to. Where things are is
    said by the release that it was flashed with."""

    NAMES: ClassVar[tuple[str, ...]] = (
        "slot-content",
        "selectable-slots-known",
        "boot-selection",
        "boot-selection-agrees",
        "boot-selection-redundant",
        "attempts-restored",
    )  # all the invariants that it can tell of

    board: Board
    old: Release
    new: Release
    flashed: Release

    @property
    def format(self) -> SelectionFormat:
        """How the board's bootloader keeps the boot selection."""
        return selection_format(self.flashed.product.bootloader)

    def copies(self) -> Copies:
        """Both copies of the boot selection; None for a torn one."""
        medium, attempts = self.board.can.medium_read, self.flashed.product.promises.attempts
        first, second = (
            self.format.parse(
                medium.read(*self.flashed.layout[f"boot-selection-{number}"]), attempts
            )
            for number in (1, 2)
        )
        return first, second

    def selection(self) -> BootSelection | None:
        """The boot selection as the bootloader will read it."""
        return self.format.counting(self.copies())

    def content(self, slot: Slot) -> str:
        """`old` or `new`, whichever release fills the slot, or ``."""
        medium, region = self.board.can.medium_read, self.flashed.layout[slot.region]
        for name, release in (("old", self.old), ("new", self.new)):
            if oracle.exact(medium, region, release):
                return name
        return ""

    def check(self, status: DeviceStatus, running: str) -> tuple[Invariant, ...]:
        """All of NAMES, of a board that says `status` and so runs `old`, `new` or nothing known."""
        copies = self.copies()
        selection = self.format.counting(copies)
        contents = {slot: self.content(slot) for slot in Slot}
        return (
            Invariant.of(
                "slot-content",
                bool(running) and contents[status.slot] == running,
                f"runs {running or 'unknown'} in slot {status.slot}, whose content is "
                f"{contents.get(status.slot) or 'neither version'}",
            ),
            _selectable(selection, contents),
            *_selected(selection, status),
            Invariant.of(
                "boot-selection-redundant",
                self.format.redundant(copies),
                f"copies: {[str(copy) for copy in copies]}",
            ),
            self._attempts(selection, status),
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
        slot
        for slot in Slot
        if selection and selection.slots[slot].state is not SlotState.BAD and not contents[slot]
    ]
    holds = selection is not None and not unknown
    return Invariant.of("selectable-slots-known", holds, f"unknown: {unknown}")


def _selected(selection: BootSelection | None, status: DeviceStatus) -> tuple[Invariant, Invariant]:
    there = f"on the medium: {selection}"
    right = (
        selection is not None
        and selection.primary == status.slot
        and selection.slots[status.slot].state is SlotState.GOOD
    )
    same = selection == status.boot_selection
    return (
        Invariant.of("boot-selection", right, f"{there}, running slot {status.slot}"),
        Invariant.of(
            "boot-selection-agrees", same, f"{there}, by the device: {status.boot_selection}"
        ),
    )
