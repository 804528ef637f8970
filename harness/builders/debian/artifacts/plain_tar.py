"""A tar archive of plain files, read header by header.

It is somebody's: links, sparse files and compressed ones can be of any size, and are refused.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from harness.product.release import Digest


class Member(NamedTuple):
    """A file in an archive, and where its content is in the archive's file."""

    name: str
    start: int
    end: int


def members(stream: BinaryIO, start: int, end: int) -> Iterator[Member]:
    """What an archive between two offsets holds. TarError or ValueError for what is no archive, or
    one with other things than plain files."""
    while start < end:
        stream.seek(start)
        header = stream.read(tarfile.BLOCKSIZE)
        if header == bytes(tarfile.BLOCKSIZE):
            return
        found = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        start += tarfile.BLOCKSIZE
        if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise ValueError(f"{found.name}: not a plain file")
        if not 0 <= found.size <= end - start:
            raise ValueError(f"{found.name}: longer than what holds it")
        yield Member(found.name, start, start + found.size)
        start += -(-found.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def digest(stream: BinaryIO, member: Member) -> Digest:
    """Of a member's content."""
    found = hashlib.sha256()
    stream.seek(member.start)
    while block := stream.read(min(1 << 20, member.end - stream.tell())):
        found.update(block)
    return Digest(sha256=found.hexdigest(), size=member.end - member.start)
