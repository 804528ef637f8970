"""Firmware of a board in two flash chips, as QEMU's `virt`, `pc` and `q35` have them: code, which
nobody writes, and variables (UEFI's), which are a second small medium.

What is written there is stable at once, as in a chip: a power cut takes none of it, and no cut is
aimed at it. Flashing the board's disk begins with the firmware's own variables again.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness import files
from harness.errors import ConfigurationError

_FILE = "firmware.vars"


@dataclass(frozen=True, slots=True)
class FlashChips:
    """Of one board; `folder` is its run folder, `code` and `variables` are what they begin with (no
    variables: the firmware keeps none)."""

    folder: Path
    code: str = ""
    variables: str = ""

    def reset(self) -> None:
        """As they come out of the factory."""
        self._kept.unlink(missing_ok=True)

    def arguments(self) -> list[str]:
        """QEMU's arguments for the next boot; none for a board without them. ConfigurationError for
        a firmware that is not there."""
        if not self.code:
            return []
        for name, file in (("code", self.code), ("variables", self.variables)):
            if file and not files.is_file(Path(file)):
                raise ConfigurationError(
                    f"lab file: pflash.{name}: {file}: no such file",
                    hint="firmware for QEMU comes in Debian's packages ovmf and qemu-efi-aarch64",
                )
        argv = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_told(self.code)}"]
        if self.variables:
            if not self._kept.exists():
                shutil.copyfile(self.variables, self._kept)
            argv += ["-drive", f"if=pflash,unit=1,format=raw,file={_told(self._kept)}"]
        return argv

    def save(self, folder: Path) -> None:
        """Keep what the variables are now."""
        if self._kept.exists():
            shutil.copyfile(self._kept, folder / _FILE)

    def restore(self, folder: Path) -> None:
        """Go back to what `save` kept there."""
        self.reset()
        if (folder / _FILE).exists():
            shutil.copyfile(folder / _FILE, self._kept)

    @property
    def _kept(self) -> Path:
        return self.folder / _FILE


def _told(path: Path | str) -> str:
    return str(Path(path).resolve()).replace(",", ",,")
