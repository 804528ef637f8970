"""A file whose text says which slot is booted: `os_prefix=` of a Pi's config.txt, a `default` line.

Words `A` and `B` are regular expressions; the one that is found in the file names the slot.
`trial`, if there is one, is found in the file of a version that is on trial. Attempts are not
counted.
"""

from harness.clients import boot_files, selection_words
from harness.clients.boot_selection import (
    ATTEMPTS,
    BootSelection,
    Slot,
    SlotChoice,
    SlotState,
)
from harness.clients.one_copy import OneCopy
from harness.errors import ConfigurationError
from harness.product.profile import SelectionSource

_WORDS = {"A": "", "B": "", "trial": ""}


class PlainFile(OneCopy):
    """A `SelectionFormat` of that one file; a copy is the whole partition that it lies in."""

    def __init__(self, source: SelectionSource) -> None:
        words = selection_words.checked(source, _WORDS)
        self._file, self._otherwise = selection_words.file_of(source), Slot(source.otherwise)
        if missing := [f"words.{slot}: missing" for slot in Slot if not words[slot]]:
            raise ConfigurationError.of("boot_selection", missing, hint="docs/adopt.md")
        self._slots = {slot: selection_words.pattern(words, slot) for slot in Slot}
        self._trial = selection_words.pattern(words, "trial") if words["trial"] else None

    def variables(self, copy: bytes) -> dict[str, str] | None:
        """Its lines, by number; None when there is no such file, or an empty one."""
        found = boot_files.read(copy, self._file)
        lines = found.decode("utf-8", errors="replace").splitlines() if found else []
        return {str(number): line for number, line in enumerate(lines, 1)} or None

    def parse(self, copy: bytes, attempts: int = ATTEMPTS) -> BootSelection | None:
        """The boot selection there; None when the file names no slot, or both."""
        text = "\n".join((self.variables(copy) or {}).values())
        named = [slot for slot, words in self._slots.items() if words.search(text)]
        if len(named) != 1:
            return None
        [slot] = named
        on_trial = self._trial is not None and self._trial.search(text) is not None
        state = SlotState.TRIAL if on_trial else SlotState.GOOD
        slots: dict[str, SlotChoice] = {
            slot: SlotChoice(state=state, left=attempts),
            slot.other: SlotChoice(state=SlotState.BAD, left=attempts),
        }
        return BootSelection(
            order=(slot, slot.other), slots=slots, generation=0, otherwise=self._otherwise
        )
