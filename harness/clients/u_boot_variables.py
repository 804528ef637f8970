"""A U-Boot environment of a product that others built: one raw copy, two, or one in a file.

A copy is a CRC-32 of all that follows the header, in two copies one byte with a serial number, and
`name=value` strings (U-Boot `include/env_internal.h`). In a file (CONFIG_ENV_IS_IN_FAT, _EXT4) it
is the file's first bytes. Which variables choose a slot is the product's: `words`, else Mender's.
"""

from collections.abc import Mapping

from harness.clients import boot_files, selection_words, u_boot_environment
from harness.clients.boot_selection import (
    ATTEMPTS,
    BootSelection,
    Copies,
    Slot,
    SlotChoice,
    SlotState,
)
from harness.clients.u_boot_environment import CRC
from harness.product.profile import SelectionSource

_WORDS = {
    "slot": "mender_boot_part",  # variable that names the slot, and its values
    "A": "2",
    "B": "3",
    "trial": "upgrade_available",  # 1: on trial; empty: the product knows none
    "count": "bootcount",  # attempts so far; empty: they are not counted
    "size": "0",  # bytes of an environment (CONFIG_ENV_SIZE); 0: as long as the copy
    "copies": "1",  # 2: each has a serial number behind its checksum
}


class UBootVariables:
    """A `SelectionFormat`; a copy is what the layout names: sectors, or the file's partition."""

    FILL = "true"
    HALF = 512
    CHECKSUM = True

    def __init__(self, source: SelectionSource) -> None:
        self._source = source
        self._words = selection_words.checked(source, _WORDS)
        self._size = selection_words.number(self._words, "size")
        copies = selection_words.number(self._words, "copies", least=1, most=2)
        self._header = CRC + (copies > 1)

    @property
    def CHANGE(self) -> int:
        """One environment is written; in a file, no less than a sector of it."""
        return self._size if self._size and not self._source.file else 512

    def environment(self, copy: bytes) -> bytes | None:
        """The bytes that U-Boot loads; None when there are not so many."""
        found = boot_files.read(copy, self._source.file) if self._source.file else copy
        size = self._size or len(found or b"")
        return found[:size] if found and len(found) >= size > self._header else None

    def variables(self, copy: bytes) -> dict[str, str] | None:
        """All variables, None when U-Boot would take its built-in ones: bad checksum."""
        found = self.environment(copy)
        return u_boot_environment.strings(found, self._header) if found else None

    def parse(self, copy: bytes, attempts: int = ATTEMPTS) -> BootSelection | None:
        """The boot selection there; None when it is torn, or names no slot."""
        found = self.variables(copy)
        slot = self._slot(found) if found else None
        if not found or slot is None:
            return None
        choices = self._choices(found, attempts)
        whole = self.environment(copy) or bytes(self._header)
        return BootSelection(
            order=(slot, slot.other),
            slots=dict(zip((slot, slot.other), choices, strict=True)),
            generation=whole[CRC] if self._header > CRC else 0,
            otherwise=Slot(self._source.otherwise),
        )

    def _slot(self, found: Mapping[str, str]) -> Slot | None:
        said = found.get(self._words["slot"])
        return next((slot for slot in Slot if self._words[slot] == said), None)

    def _choices(self, found: Mapping[str, str], attempts: int) -> tuple[SlotChoice, SlotChoice]:
        """Of the slot that is named, and of the other one."""
        good = SlotChoice(state=SlotState.GOOD, left=attempts)
        if found.get(self._words["trial"], "0") != "1":
            return good, SlotChoice(state=SlotState.BAD, left=attempts)
        count = found.get(self._words["count"], "0")
        left = max(0, attempts - int(count)) if count.isdecimal() else attempts
        return SlotChoice(state=SlotState.TRIAL, left=left), good

    def counting(self, copies: Copies) -> BootSelection | None:
        """The one there is, or the newer of two that are whole."""
        return copies[0] if len(copies) == 1 else u_boot_environment.counting(copies)

    def redundant(self, copies: Copies) -> bool:
        """Whether either of two may be lost."""
        return len(copies) == 2 and u_boot_environment.redundant(copies)

    def halfway(self, copies: Copies, slot: Slot, before: str, after: str) -> bool:
        """Of one copy nothing tells; of two one is torn, or its change has just begun."""
        return len(copies) == 1 or None in copies
