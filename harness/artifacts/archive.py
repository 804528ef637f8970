"""Archives in archives of somebody's, read header by header: plain files only, within bounds.

tarfile follows links, sparse maps and long headers wherever they lead; here a header that is no
plain file's is an error, and what is compressed is read no further than its reader wants.
"""

import contextlib
import gzip
import hashlib
import io
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, cast

from harness.product.release import Digest

_PIECE = 1 << 20
_MOST = 1000  # files of one archive


class Member(NamedTuple):
    """A file in an archive, and where its content is in the archive's stream."""

    name: str
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive: `stream` is at any place of it, `end` the first byte behind it."""

    stream: BinaryIO
    all: Sequence[Member]

    def only(self) -> Member:
        """The one file that it has; ValueError when there are others."""
        if len(self.all) != 1:
            raise ValueError(f"{len(self.all)} files, not one")
        return self.all[0]

    def digest(self, member: Member) -> Digest:
        """SHA-256 and size of a member; ValueError when the stream ends before it does."""
        found, left = hashlib.sha256(), member.size
        self.stream.seek(member.start)
        while left:
            block = self.stream.read(min(_PIECE, left))
            if not block:
                raise ValueError(f"{member.name}: cut short")
            found.update(block)
            left -= len(block)
        return Digest(sha256=found.hexdigest(), size=member.size)

    def named(self, name: str, *, limit: int) -> bytes:
        """The content of a member; ValueError when it is not there, or larger than `limit`."""
        found = next((each for each in self.all if each.name == name), None)
        if found is None:
            raise ValueError(f"{name}: missing")
        if found.size > limit:
            raise ValueError(f"{name}: larger than {limit:,} bytes")
        self.stream.seek(found.start)
        return self.stream.read(found.size)

    @contextlib.contextmanager
    def opened(
        self, member: Member, stem: str, *, limit: int, most: int = _MOST
    ) -> "Iterator[Archive]":
        """A member that is an archive itself, called `stem` (a pattern) with one of tar's endings,
        compressed or not, of at most `most` files of at most `limit` bytes. ValueError for another
        one."""
        found = re.fullmatch(rf"{stem}\.tar(\.gz|\.xz)?", member.name)
        if not found:
            raise ValueError(f"{member.name}: is no tar archive, plain, gz or xz")
        inside: BinaryIO = io.BufferedReader(_Slice(self.stream, member))
        if found[1] == ".gz":
            inside = cast(BinaryIO, gzip.GzipFile(fileobj=inside))
        elif found[1] == ".xz":
            inside = cast(BinaryIO, lzma.LZMAFile(inside))  # noqa: SIM115 - has no file to close
        try:
            read = members(inside, None if found[1] else member.size, limit=limit, most=most)
            found_there = list(read)
            if found[1] and len(inside.read(_PIECE)) == _PIECE:  # and so its checksum is looked at
                raise ValueError("goes on behind its end")
            yield Archive(inside, found_there)
        except (zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile) as error:
            raise ValueError(f"{member.name}: {error}") from error


class _Slice(io.RawIOBase):
    """The bytes of a member, as a stream of their own."""

    def __init__(self, stream: BinaryIO, member: Member) -> None:
        self._stream, self._member, self._at = stream, member, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._member.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._stream.seek(self._member.start + self._at)
        block = self._stream.read(max(0, min(len(buffer), self._member.size - self._at)))
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)


def members(
    stream: BinaryIO, end: int | None, *, limit: int | None = None, most: int = _MOST
) -> Iterator[Member]:
    """What an archive of `end` bytes holds, from the beginning of its stream; None: nobody knows
    how many these are, for it is compressed. No member of more than `limit` bytes is gone past.

    TarError or ValueError for what is no archive, or one with other things than plain files.
    """
    start, count = 0, 0
    while end is None or start < end:
        stream.seek(start)
        header = stream.read(tarfile.BLOCKSIZE)
        if header in (b"", bytes(tarfile.BLOCKSIZE)):
            return
        found = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        start += tarfile.BLOCKSIZE
        if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise ValueError(f"{found.name}: not a plain file")
        if found.size < 0 or (end is not None and found.size > end - start):
            raise ValueError(f"{found.name}: longer than what holds it")
        if limit is not None and found.size > limit:
            raise ValueError(f"{found.name}: larger than {limit:,} bytes")
        count += 1
        if count > most:
            raise ValueError(f"more than {most} files")
        yield Member(found.name, start, found.size)
        start += -(-found.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
