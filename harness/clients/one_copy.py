"""What all boot selections have in common of which there is one copy, that others write."""

from harness.clients.boot_selection import BootSelection, Copies, Slot


class OneCopy:
    """The part of a `SelectionFormat` that says how a change of it is met by a cut."""

    CHANGE = 512  # bytes: no change writes less than a sector
    FILL = "true"  # nothing makes it longer
    HALF = 512
    CHECKSUM = False

    def counting(self, copies: Copies) -> BootSelection | None:
        """There is one."""
        return copies[0]

    def redundant(self, copies: Copies) -> bool:
        """It must not be lost."""
        return False

    def halfway(self, copies: Copies, slot: Slot, before: str, after: str) -> bool:
        """Others write it, in an order of their own: nothing in it tells."""
        return True
