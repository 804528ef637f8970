"""GRUB for a BIOS machine: its core image, its partition, and the first boot selection.

The core image holds every module it needs, so nothing is loaded from the boot partition but text.
The boot partition is a tar archive: GRUB reads tar, nothing in it ever moves, and there is no
file system metadata that a power cut could damage.
"""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from harness import process
from harness.builders.debian import overlay
from harness.builders.debian.recipe import EPOCH, Recipe, Variant
from harness.errors import BuildError
from harness.product.layout import MIB, SECTOR, Piece, Region, slots_and_data

COMPRESSIONS: tuple[str, ...] = ("gzip", "lzo", "xz")
CORE = 1  # sector of GRUB's core image, where boot.img expects it
# The boot partition is a tar archive that starts right here, so that the contents of its first
# two files, the copies of the boot selection, are these sectors.
BOOT = 1023
SELECTION_1 = 1024
SELECTION_2 = 1536
SLOTS_START = MIB
BOOT_PARTITION = Region(BOOT * SECTOR, SLOTS_START - BOOT * SECTOR)

_FOLDER = Path("/usr/lib/grub/i386-pc")
_MODULES = (
    *("biosdisk", "part_msdos", "tar", "squash4", "loadenv", "normal", "configfile", "eval"),
    *("serial", "terminal", "echo", "test", "true", "date", "datehook", "linux", "boot", "reboot"),
)
# A slot's kernel is already compressed; the filters are here for a squashfs of gzip or xz.
_FILTERS = ("gzio", "xzio", "lzopio")

STATES = ("good", "trial", "bad")


def regions(recipe: Recipe) -> dict[str, Region]:
    """Where everything is; docs/boot-selection.md says why the boot selection has copies."""
    after = (SELECTION_2 + 1) * SECTOR
    return {
        "boot-selection": Region(SELECTION_1 * SECTOR, after - SELECTION_1 * SECTOR),
        "boot-selection-1": Region(SELECTION_1 * SECTOR, SECTOR),
        "boot-selection-2": Region(SELECTION_2 * SECTOR, SECTOR),
        # What of the boot partition is never written after flashing: all but the copies.
        "boot": Region(after, SLOTS_START - after),
        **slots_and_data(
            SLOTS_START, slot_size=recipe.disk.slot_size, data_size=recipe.disk.data_size
        ),
    }


def prepare(recipe: Recipe, variants: Sequence[Variant]) -> None:
    """Nothing takes long."""


def pieces(
    recipe: Recipe, variants: Sequence[Variant], files: dict[str, bytes], folder: Path
) -> list[Piece]:
    """Boot sector, core image and boot partition; `files` go into the boot partition."""
    folders = [*recipe.boot, *(v.boot for v in variants if v.boot)]
    boot = boot_partition(folders, recipe.disk.signature, files, attempts=recipe.promises.attempts)
    (folder / "boot.img").write_bytes(boot)
    (folder / "mbr.img").write_bytes(boot_sector())
    core = core_image(folder / "core.img")
    return [
        Piece("mbr", folder / "mbr.img", Region(0, 440)),
        Piece("core", core, Region(CORE * SECTOR, (BOOT - CORE) * SECTOR)),
        Piece("boot", folder / "boot.img", BOOT_PARTITION, kind="0xda"),
    ]


def core_image(output: Path) -> Path:
    """Write core.img for a disk whose first partition is the boot partition; returns `output`."""
    if not (_FOLDER / "boot.img").is_file():
        raise BuildError(f"no GRUB for BIOS in {_FOLDER}", hint="install grub-pc-bin")
    process.run(
        [
            *("grub-mkimage", "--format=i386-pc", f"--directory={_FOLDER}"),
            *("--prefix=(hd0,msdos1)", f"--output={output}", *_MODULES, *_FILTERS),
        ],
        timeout=60,
        error=BuildError,
    )
    room = (BOOT - CORE) * SECTOR
    if output.stat().st_size > room:
        raise BuildError(f"GRUB's core image has {output.stat().st_size} bytes, room is {room}")
    return output


def boot_sector() -> bytes:
    """The code of the MBR (its first 440 bytes); expects core.img from sector 1 on."""
    return (_FOLDER / "boot.img").read_bytes()[:440]


def boot_partition(
    folders: Sequence[Path],
    signature: str,
    extra: dict[str, bytes] | None = None,
    *,
    attempts: int = 3,
) -> bytes:
    """The boot partition: both selection copies at their sectors, then the folders' files.

    Later folders win. `@SIGNATURE@` in a file is the disk signature. Raises BuildError when the
    files do not fit in front of the first slot.
    """
    files = dict(extra or {})
    for folder in folders:
        for name, content in overlay.contents(folder, where="the boot partition").items():
            files[name] = content.replace(b"@SIGNATURE@", signature.encode())
    # Between the copies: a header of one sector in front of each copy, the rest is this file.
    gap = (SELECTION_2 - SELECTION_1 - 3) * SECTOR
    selection = environment_block(attempts=attempts)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "selection-1", selection)
        _add(tar, "gap", b"\0" * gap)
        _add(tar, "selection-2", selection)
        for name, content in sorted(files.items()):
            _add(tar, name, content)
    content = archive.getvalue()
    room = SLOTS_START - BOOT * SECTOR
    if len(content.rstrip(b"\0")) > room - 2 * SECTOR:
        raise BuildError(f"boot: {len(content)} bytes of files do not fit into {room} bytes")
    return content[:room]


def environment_block(
    *,
    generation: int = 1,
    order: str = "A B",
    states: Sequence[str] = ("good", "good"),
    attempts: int = 3,
) -> bytes:
    """One copy of the boot selection, as /usr/sbin/boot-selection writes it (512 bytes)."""
    text = (
        "# GRUB Environment Block\n"
        f"gen_head={generation:08d}\norder={order}\n"
        f"A_state={states[0]}\nA_left={attempts}\nB_state={states[1]}\nB_left={attempts}\n"
        f"gen_tail={generation:08d}\n"
    )
    return text.encode().ljust(SECTOR, b"#")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    header.mtime = EPOCH
    tar.addfile(header, io.BytesIO(content))
