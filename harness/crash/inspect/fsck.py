"""A crash state as files, without a boot: boot selection, slots, and the data partition.

The data partition is copied, its journal is replayed in the copy as a mount would do it, and then
e2fsck looks at it and changes nothing (e2fsck(8)). The state itself stays as it is.
"""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.clients.boot_selection import BootSelection, Copies, Slot
from harness.clients.selection_format import format_of, read_copies
from harness.crash.recording.recording import Recording
from harness.crash.states.reader import StateReader
from harness.errors import ConfigurationError, LabError
from harness.log import step
from harness.process import run
from harness.product.release import Release

_SECONDS = 300.0
_BLOCK = 1 << 20
_CLEAN, _REPAIRED = 0, 1  # exit codes of e2fsck; replaying a journal is a repair


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFindings:
    """`content` is `old`, `new` or `neither`; then `differing` says how many bytes of the slot are
    not those of each version's image."""

    slot: Slot
    content: str
    differing: dict[str, int]

    def __str__(self) -> str:
        rest = ", ".join(
            f"{count} bytes differ from {name}" for name, count in self.differing.items()
        )
        return f"slot {self.slot}: {self.content}" + (
            f" ({rest})" if self.content == "neither" else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is in a crash state."""

    copies: Copies  # of the boot selection; None: torn
    selection: BootSelection | None  # what the bootloader will use
    slots: tuple[SlotFindings, ...]
    journal: str  # what e2fsck said when it replayed the journal
    data_clean: bool  # e2fsck found nothing to repair after that
    data: str  # all that e2fsck said
    files: tuple[tuple[str, int], ...]  # (path, bytes) of the data partition, sorted

    def to_json(self) -> dict[str, Any]:
        """For a script."""
        return {
            "copies": [str(copy) if copy else None for copy in self.copies],
            "primary": self.selection.primary if self.selection else None,
            "slots": [asdict(slot) for slot in self.slots],
            "journal": self.journal,
            "data_clean": self.data_clean,
            "data": self.data,
            "files": dict(self.files),
        }

    def lines(self) -> list[str]:
        """For a person."""
        clean = "clean" if self.data_clean else "DAMAGED"
        copies = [f"copy {n}: {copy or 'torn'}" for n, copy in enumerate(self.copies, 1)]
        return [
            "boot selection",
            *(f"  {copy}" for copy in copies),
            f"  next boot: {'slot ' + self.selection.primary if self.selection else 'unknown'}",
            *map(str, self.slots),
            f"data partition, its journal replayed: {clean}",
            *(f"  {line}" for line in (self.journal + "\n" + self.data).splitlines() if line),
            *(f"  {size:>10} {path}" for path, size in self.files),
        ]


def inspect(recording: Recording, state_file: Path, *, output: Path | None = None) -> Findings:
    """Look at a state; `output` (made; must be empty) gets the files of its data partition.

    ConfigurationError for an output folder that is not empty; LabError when e2fsprogs fail.
    """
    if output and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigurationError(f"{output}: exists and is not empty", hint="name a new folder")
    with (
        StateReader(state_file) as view,
        tempfile.TemporaryDirectory(prefix="harness-fsck-", dir=state_file.parent) as name,
    ):
        selection, copies = _selection(recording, view)
        with step("slots"):
            slots = tuple(_slot(recording, view, slot) for slot in Slot)
        with step("data"):
            image = Path(name) / "data.img"
            view.copy(*recording.layout["data"], image)
            journal, clean, told = _check(image)
            files = _files(image, output or Path(name) / "files")
    return Findings(
        copies=copies,
        selection=selection,
        slots=slots,
        journal=journal,
        data_clean=clean,
        data=told,
        files=files,
    )


def _selection(recording: Recording, view: StateReader) -> tuple[BootSelection | None, Copies]:
    copies = read_copies(recording.old, view.read)
    return format_of(recording.old.product).counting(copies), copies


def _slot(recording: Recording, view: StateReader, slot: Slot) -> SlotFindings:
    offset, _ = recording.layout[slot.region]
    differing = {
        name: _differing(release, view, offset)
        for name, release in (("old", recording.old), ("new", recording.new))
    }
    same = [name for name, count in differing.items() if count == 0]
    return SlotFindings(slot=slot, content=same[0] if same else "neither", differing=differing)


def _differing(release: Release, view: StateReader, offset: int) -> int:
    """Bytes of the slot image that are something else at `offset`."""
    count = 0
    with release.slot_image.open("rb") as image:
        for start in range(0, release.slot.size, _BLOCK):
            expected = image.read(_BLOCK)
            found = view.read(offset + start, len(expected))
            pair = (np.frombuffer(data, np.uint8) for data in (found, expected))
            count += int(np.count_nonzero(np.not_equal(*pair)))
    return count


def _check(image: Path) -> tuple[str, bool, str]:
    """Replay the journal, then look: what was said of it, whether all is well, what was said."""
    replayed = run(["e2fsck", "-p", "-E", "journal_only", image], timeout=_SECONDS, check=False)
    if replayed.returncode not in (_CLEAN, _REPAIRED):
        return _said(replayed.stdout, image), False, f"no journal replay ({replayed.returncode})"
    looked = run(["e2fsck", "-f", "-n", image], timeout=_SECONDS, check=False)
    return _said(replayed.stdout, image), looked.returncode == _CLEAN, _said(looked.stdout, image)


def _said(text: str, image: Path) -> str:
    return text.replace(f"{image}: ", "").replace(str(image), "data").strip()


def _files(image: Path, folder: Path) -> tuple[tuple[str, int], ...]:
    """All files of the file system, written into `folder` (debugfs(8), rdump)."""
    folder.mkdir(parents=True, exist_ok=True)
    script = image.with_name("rdump")
    target = str(folder.resolve())
    if '"' in target:
        raise ConfigurationError(f"{folder}: debugfs cannot write into a folder with a quote")
    script.write_text(f'rdump / "{target}"\n')
    done = run(["debugfs", "-f", script, image], timeout=_SECONDS, error=LabError, check=False)
    if done.returncode != 0:
        raise LabError("debugfs cannot read the data partition", details=done.stderr[-2000:])
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return tuple(sorted((f"/{p.relative_to(folder)}", p.stat().st_size) for p in found))
