"""Recipes and lab files of the checkout as one archive; standard library only: setup.py uses it."""

import tarfile
from pathlib import Path
from typing import BinaryIO

FILE = "product.tar"  # beside this module, in a wheel
FOLDERS = ("images", "labs")
_MADE = {"__pycache__", "out"}  # what is made there, and is no part of it


def pack(checkout: Path, target: BinaryIO) -> None:
    """Write the folders, without what differs from machine to machine."""
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name in FOLDERS:
            archive.add(checkout / name, arcname=name, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if _MADE & set(Path(member.name).parts):
        return None
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member
