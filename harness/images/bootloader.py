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
from harness.errors import BuildError
from harness.images import layout

_FOLDER = Path("/usr/lib/grub/i386-pc")
_MODULES = (
    *("biosdisk", "part_msdos", "tar", "squash4", "loadenv", "normal", "configfile", "eval"),
    *("serial", "terminal", "echo", "test", "true", "date", "datehook", "linux", "boot", "reboot"),
)
# A slot's kernel is already compressed; the filters are here for a squashfs of gzip or xz.
_FILTERS = ("gzio", "xzio", "lzopio")

STATES = ("good", "trial", "bad")


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
    room = (layout.BOOT - layout.CORE) * layout.SECTOR
    if output.stat().st_size > room:
        raise BuildError(f"GRUB's core image has {output.stat().st_size} bytes, room is {room}")
    return output


def boot_sector() -> bytes:
    """The code of the MBR (its first 440 bytes); expects core.img from sector 1 on."""
    return (_FOLDER / "boot.img").read_bytes()[:440]


def boot_partition(folders: Sequence[Path], signature: str, *, epoch: int) -> bytes:
    """The boot partition: both selection copies at their sectors, then the folders' files.

    Later folders win. `@SIGNATURE@` in a file is the disk signature. Raises BuildError when the
    files do not fit in front of the first slot.
    """
    files: dict[str, bytes] = {}
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes().replace(b"@SIGNATURE@", signature.encode())
            files[path.relative_to(folder).as_posix()] = content
    # Between the copies: a header of one sector in front of each copy, the rest is this file.
    gap = (layout.SELECTION_2 - layout.SELECTION_1 - 3) * layout.SECTOR
    selection = environment_block()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "selection-1", selection, epoch)
        _add(tar, "gap", b"\0" * gap, epoch)
        _add(tar, "selection-2", selection, epoch)
        for name, content in sorted(files.items()):
            _add(tar, name, content, epoch)
    content = archive.getvalue()
    room = layout.SLOTS_START - layout.BOOT * layout.SECTOR
    if len(content.rstrip(b"\0")) > room - 2 * layout.SECTOR:
        raise BuildError(f"boot: {len(content)} bytes of files do not fit into {room} bytes")
    return content[:room]


def environment_block(
    *, generation: int = 1, order: str = "A B", states: Sequence[str] = ("good", "good")
) -> bytes:
    """One copy of the boot selection, as /usr/sbin/boot-selection writes it (512 bytes)."""
    text = (
        "# GRUB Environment Block\n"
        f"gen_head={generation:08d}\norder={order}\n"
        f"A_state={states[0]}\nA_left=3\nB_state={states[1]}\nB_left=3\n"
        f"gen_tail={generation:08d}\n"
    )
    return text.encode().ljust(layout.SELECTION_SIZE, b"#")


def _add(tar: tarfile.TarFile, name: str, content: bytes, epoch: int) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    header.mtime = epoch
    tar.addfile(header, io.BytesIO(content))
