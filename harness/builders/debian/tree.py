"""A root file system as a list of tar members: filtered, laid over and written without any root.

Content is never unpacked to disk: a member is its header plus where its bytes are (in the base's
tar, in a file of the overlay, or in memory). Written sorted, with times clamped, so that the same
inputs give the same bytes.
"""

import copy
import fnmatch
import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.builders.debian import overlay
from harness.errors import BuildError


@dataclass(slots=True)
class _TreeEntry:
    header: tarfile.TarInfo
    source: Path | None = None  # file that holds the bytes, from `offset`
    offset: int = 0
    content: bytes = b""


class Tree:
    """Paths are absolute ("/usr/sbin/init"); all times become `epoch` or earlier."""

    def __init__(self, *, epoch: int) -> None:
        self.epoch = epoch
        self._members: dict[str, _TreeEntry] = {}

    @classmethod
    def of_tar(cls, archive: Path, *, epoch: int) -> "Tree":
        """The members of an uncompressed tar; hard links become files that share their bytes."""
        tree = cls(epoch=epoch)
        with tarfile.open(archive, "r:") as tar:
            for header in tar:
                path = _absolute(header.name)
                member = _TreeEntry(header, archive, header.offset_data)
                if header.islnk():
                    target = tree._members[_absolute(header.linkname)]
                    member = _TreeEntry(copy.copy(target.header), target.source, target.offset)
                tree._members[path] = member
        return tree

    def paths(self) -> list[str]:
        """All paths, sorted."""
        return sorted(self._members)

    def __contains__(self, path: str) -> bool:
        return self._resolved(path) in self._members

    def prune(self, patterns: Iterable[str]) -> None:
        """Remove what matches (fnmatch: "*" also matches "/"), and all below a removed folder."""
        expression = re.compile("|".join(f"(?:{fnmatch.translate(p)})" for p in patterns) or r"\Z.")
        self._drop({path for path in self._members if expression.match(path)})

    def remove(self, *paths: str) -> None:
        """Remove paths and all below them; BuildError when one is not there."""
        for path in paths:
            if path not in self:
                raise BuildError(f"cannot remove {path}: the image does not have it")
        self._drop({self._resolved(path) for path in paths})

    def _drop(self, gone: set[str]) -> None:
        """Forget `gone` and everything below."""
        for path in self.paths():
            parts = path.split("/")
            if any("/".join(parts[:end]) in gone for end in range(2, len(parts) + 1)):
                del self._members[path]

    def lay_over(self, folder: Path, marks: Mapping[bytes, bytes] = {}) -> None:
        """Add a folder's files as root's; of their modes only "executable" counts, as in Git.

        Each of `marks` that a file contains is replaced by its value.
        """
        for name, source in overlay.entries(folder):
            path = f"/{name}"
            if source.is_symlink():
                self.link(path, str(source.readlink()))
            elif source.is_dir():
                self.folder(path)
            else:
                content = overlay.content(source)
                for mark, value in marks.items():
                    content = content.replace(mark, value)
                self.file(path, content, mode=0o755 if overlay.executable(source) else 0o644)

    def file(self, path: str, content: bytes | str, *, mode: int = 0o644) -> None:
        """Add or replace a file of root's, and the folders above it."""
        data = content.encode() if isinstance(content, str) else content
        header = self._header(path, tarfile.REGTYPE, mode)
        header.size = len(data)
        self._add(path, _TreeEntry(header, content=data))

    def folder(self, path: str, *, mode: int = 0o755) -> None:
        """Add a folder unless it is there."""
        if path not in self:
            self._add(path, _TreeEntry(self._header(path, tarfile.DIRTYPE, mode)))

    def link(self, path: str, target: str) -> None:
        """Add or replace a symbolic link."""
        header = self._header(path, tarfile.SYMTYPE, 0o777)
        header.linkname = target
        self._add(path, _TreeEntry(header))

    def read(self, path: str) -> bytes:
        """A file's bytes, following symbolic links; BuildError when it is missing."""
        for _ in range(8):
            member = self._members.get(self._resolved(path))
            if member is None:
                break
            if not member.header.issym():
                return _bytes(member)
            target = member.header.linkname
            path = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
        raise BuildError(f"the image has no file {path}")

    def write(self, output: Path) -> None:
        """Write everything as a tar: sorted, nothing newer than the epoch."""
        with output.open("wb") as sink, tarfile.open(fileobj=sink, mode="w") as tar:
            opened: dict[Path, BinaryIO] = {}
            try:
                for path in self.paths():
                    self._write_member(tar, path, opened)
            finally:
                for stream in opened.values():
                    stream.close()

    def _write_member(self, tar: tarfile.TarFile, path: str, opened: dict[Path, BinaryIO]) -> None:
        member = self._members[path]
        header = copy.copy(member.header)
        header.name = "." + path if path != "/" else "."
        header.mtime = min(int(header.mtime), self.epoch)
        header.pax_headers = {
            key: value
            for key, value in header.pax_headers.items()
            if key.startswith("SCHILY.xattr")
        }
        if not header.isreg():
            tar.addfile(header)
        elif member.source is None:
            tar.addfile(header, io.BytesIO(member.content))
        else:
            stream = opened.get(member.source) or member.source.open("rb")
            opened[member.source] = stream
            stream.seek(member.offset)
            tar.addfile(header, stream)

    def _add(self, path: str, member: _TreeEntry) -> None:
        path = self._resolved(path)
        parent = path.rpartition("/")[0]
        if parent and parent not in self._members:
            self.folder(parent)
        member.header.name = "." + path
        self._members[path] = member

    def _resolved(self, path: str) -> str:
        """`path` with symbolic links among its folders followed (/lib is usr/lib)."""
        done = ""
        for part in path.strip("/").split("/")[:-1]:
            done = f"{done}/{part}"
            member = self._members.get(done)
            if member and member.header.issym():
                target = member.header.linkname
                done = target if target.startswith("/") else f"{done.rpartition('/')[0]}/{target}"
        return f"{done}/{path.rpartition('/')[2]}"

    def _header(self, path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        header = tarfile.TarInfo("." + path)
        header.type = kind
        header.mode = mode
        header.mtime = self.epoch
        header.uname = header.gname = "root"
        return header


def _absolute(name: str) -> str:
    return "/" + name.removeprefix(".").strip("/")


def _bytes(member: _TreeEntry) -> bytes:
    if member.source is None:
        return member.content
    with member.source.open("rb") as stream:
        stream.seek(member.offset)
        return stream.read(member.header.size)
