"""Formats of the boot selection on the medium, by the name of the bootloader or of the reader of a
file that a release gives.

They read the sectors behind the back of the software under test: nothing here asks the device.
"""

from collections.abc import Callable
from typing import Protocol

from harness import files, plugins
from harness.clients.boot_selection import ATTEMPTS, BootSelection, Copies, Slot
from harness.errors import ConfigurationError
from harness.product.layout import selection_copies
from harness.product.product import Product
from harness.product.profile import Profile, SelectionSource
from harness.product.release import Release


class SelectionFormat(Protocol):
    """How one bootloader keeps the boot selection, in one copy or two."""

    CHANGE: int  # bytes that one change of the selection writes, in all
    FILL: str  # command of the device that makes a copy full to beyond its middle
    HALF: int  # bytes of a change after which what is there is neither before nor after it
    CHECKSUM: bool  # of a torn copy no reader uses anything but that it is torn

    def variables(self, copy: bytes) -> dict[str, str] | None:
        """All variables in the bytes of a copy, None when it is torn."""

    def parse(self, copy: bytes, attempts: int = ATTEMPTS) -> BootSelection | None:
        """The boot selection in the bytes of a copy, None when it is torn or none. `attempts` is
        what a slot gets."""

    def counting(self, copies: Copies) -> BootSelection | None:
        """The one of two copies that the bootloader will use, None when both are torn."""

    def redundant(self, copies: Copies) -> bool:
        """Whether either copy may be lost without harm."""

    def halfway(self, copies: Copies, slot: Slot, before: str, after: str) -> bool:
        """Whether the copies show a change of `slot` cut after HALF bytes; `before` and `after` are
        prints of its choice, for example `trial/3`."""


def format_of(product: Product) -> SelectionFormat:
    """The format of a product's devices: in a file, where its profile names one. Raises
    ConfigurationError for a bootloader or a reader that nobody knows."""
    if not product.selection:
        return selection_format(product.bootloader)
    return reader_of(product.selection)


def format_of_profile(found: Profile) -> SelectionFormat:
    """The same, of a product that is not adopted yet."""
    if found.device is None:
        return selection_format(found.boot_selection.reader)
    return reader_of(found.boot_selection)


def reader_of(source: SelectionSource) -> SelectionFormat:
    """What reads the boot selection of a product that others built. Raises ConfigurationError: for
    a reader that nobody knows, and for what it is told wrong, or not at all."""
    made = plugins.load(
        plugins.SELECTIONS, source.reader, kind=SelectionFormat, key="boot_selection.reader"
    )
    if not callable(made):
        raise ConfigurationError(
            f"boot_selection.reader: '{source.reader}' reads no product that others built",
            hint="docs/adopt.md names what does",
        )
    found: SelectionFormat = made(source)
    return found


def read_copies(flashed: Release, read: Callable[[int, int], bytes]) -> Copies:
    """The copies on a medium that was flashed with that release; None for a torn one. `read` gives
    bytes of the medium, by offset and length."""
    form, attempts = format_of(flashed.product), flashed.product.promises.attempts
    return tuple(form.parse(read(*region), attempts) for region in selection_copies(flashed.layout))


def found_in_image(release: Release) -> str:
    """What is to be said of the boot selection in the image that a factory flashes: that its reader
    finds none (a device can make it in its first boot, or the reader is told a wrong place), or
    that it does not name slot A. Empty: all is well."""
    with files.opened(release.disk_image) as image:

        def read(offset: int, length: int) -> bytes:
            image.seek(offset)
            return image.read(length)

        found = format_of(release.product).counting(read_copies(release, read))
    if found is None:
        return (
            f"boot_selection: '{release.product.bootloader}' finds none in the disk image: unless a"
            " device makes it when it first boots, the reader is told a wrong place"
        )
    return "" if found.primary is Slot.A else f"boot_selection: the disk image boots {found}"


def selection_format(bootloader: str) -> SelectionFormat:
    """The format in raw sectors that `bootloader` uses; ConfigurationError for an unknown one."""
    found: SelectionFormat = plugins.load(
        plugins.SELECTIONS, bootloader, kind=SelectionFormat, key="bootloader"
    )
    return found
