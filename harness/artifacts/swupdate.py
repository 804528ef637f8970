"""The update artifact of SWUpdate: a cpio archive, sw-description first.

SWUpdate's documentation, "Software management": cpio in its "crc" or "newc" format, an image for
each entry of sw-description. Only archives with one image are read, and no compressed one: what a
slot holds afterwards must be told by its bytes.
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from harness import files
from harness.artifacts.archive import Archive, Member
from harness.errors import ConfigurationError
from harness.product.release import Digest

_MAGIC = (b"070701", b"070702")  # cpio(5), "New ASCII Format"
_HEADER, _SIZE, _NAME = 110, slice(54, 62), slice(94, 102)
_LONGEST_NAME = 4096
_END, _FIRST = "TRAILER!!!", "sw-description"
_BESIDE = (_FIRST, f"{_FIRST}.sig")
_SCRIPTS = (".lua", ".sh")
_COMPRESSED = (".gz", ".zst", ".xz")


def payload(artifact: Path, *, limit: int) -> Digest:
    """The one image that it installs, if it has at most `limit` bytes; ConfigurationError."""
    with files.opened(artifact) as stream:
        try:
            found = list(_members(stream, os.fstat(stream.fileno()).st_size))
            if not found or found[0].name != _FIRST:
                raise ValueError(f"does not begin with {_FIRST}")
            images = [
                each
                for each in found
                if each.name not in _BESIDE and not each.name.endswith(_SCRIPTS)
            ]
            if len(images) != 1 or images[0].name.endswith(_COMPRESSED):
                raise ValueError(f"images: {', '.join(each.name for each in images) or 'none'}")
            if images[0].size > limit:
                raise ValueError(f"{images[0].name}: larger than {limit:,} bytes")
            return Archive(stream, found).digest(images[0])
        except ValueError as error:
            raise ConfigurationError(
                f"{files.shown(artifact)}: not an SWU file with one image, not compressed",
                details=str(error),
            ) from error


def meant_for(artifact: Path) -> Collection[str]:
    """It does not say: hardware-compatibility is SWUpdate's to check, by file."""
    return ()


def _members(stream: BinaryIO, size: int) -> Iterator[Member]:
    """All members; ValueError for what is no such archive, or one that ends too early."""
    at = 0
    while True:
        stream.seek(at)
        header = stream.read(_HEADER)
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            raise ValueError(f"no cpio header at byte {at:,}")
        length, name_size = int(header[_SIZE], 16), int(header[_NAME], 16)
        if not 0 < name_size <= _LONGEST_NAME:
            raise ValueError(f"a name of {name_size:,} bytes at byte {at:,}")
        name = stream.read(name_size).rstrip(b"\0").decode("utf-8", errors="surrogateescape")
        if name == _END:
            return
        start = _padded(at + _HEADER + name_size)
        if start + length > size:
            raise ValueError(f"{name}: longer than what holds it")
        yield Member(name, start, length)
        at = _padded(start + length)


def _padded(offset: int) -> int:
    return -(-offset // 4) * 4
