#!/usr/bin/env python3
"""Write the boot partition of a BIOS machine: `boot-partition.py FOLDER OUTPUT`.

A tar archive from sector 1023 of the disk on. Its first files are the copies of the boot selection,
so that their contents are the sectors 1024 and 1536; then come the files of the folder. What is in
a copy: docs/boot-selection.md.
"""

import io
import sys
import tarfile
from pathlib import Path

SECTOR = 512
BOOT, SELECTION_1, SELECTION_2, END = 1023, 1024, 1536, 2047
TIME = 1_700_000_000  # of all files of an image

SELECTION = (
    b"# GRUB Environment Block\n"
    b"gen_head=00000001\norder=A B\nA_state=good\nA_left=3\nB_state=good\nB_left=3\n"
    b"gen_tail=00000001\n"
).ljust(SECTOR, b"#")


def archive(files: dict[str, bytes]) -> bytes:
    """The archive, with all files in the order given."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size, header.mtime = len(content), TIME
            tar.addfile(header, io.BytesIO(content))
    return stream.getvalue()


def main(folder: Path, output: Path) -> None:
    """Write the partition, as long as it is on the disk."""
    gap = bytes((SELECTION_2 - SELECTION_1 - 3) * SECTOR)  # a header lies in front of each copy
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    content = archive(
        {
            "selection-1": SELECTION,
            "gap": gap,
            "selection-2": SELECTION,
            **dict(sorted(found.items())),
        }
    )
    room = (END - BOOT) * SECTOR
    if len(content.rstrip(b"\0")) > room - 2 * SECTOR:
        sys.exit(f"{folder}: {len(content)} bytes of files do not fit into {room} bytes")
    output.write_bytes(content[:room].ljust(room, b"\0"))


main(Path(sys.argv[1]), Path(sys.argv[2]))
