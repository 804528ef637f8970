"""Bootloaders by the name that recipes and releases give them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from harness import plugins
from harness.builders.debian.recipe import Recipe, Variant
from harness.product.layout import Piece, Region


class Bootloader(Protocol):
    """What a machine's bootloader puts on its disk."""

    COMPRESSIONS: tuple[str, ...]  # of a slot's squashfs, that it can read

    def regions(self, recipe: Recipe) -> dict[str, Region]:
        """Name -> region of the disk: boot-selection (all copies of it), boot-selection-1 and -2,
        boot (never written after flashing), slot-A, slot-B, data."""

    def prepare(self, recipe: Recipe, variants: Sequence[Variant]) -> None:
        """Make what takes long and depends on no package base; may run beside its making."""

    def pieces(
        self,
        recipe: Recipe,
        variants: Sequence[Variant],
        files: dict[str, bytes],
        folder: Path,
    ) -> list[Piece]:
        """Everything in front of the slots, written below `folder`; `files` (name -> content) come
        from the package base (recipe key `boot_files`)."""


def bootloader(name: str) -> Bootloader:
    """The bootloader called `name`; ConfigurationError for an unknown one."""
    found: Bootloader = plugins.load(plugins.BOOTLOADERS, name, kind=Bootloader, key="bootloader")
    return found
