"""A file system as the tree of what is in it: for slots that are mounted for writing.

Such a slot is never again what was installed, byte for byte: a mount counts itself, a first boot
writes its machine id. What must hold is that the file system is sound, and that each file is the
artifact's but for those that a product says may differ.

The readers are the real ones: e2fsck replays the journal, on a copy, and says whether the file
system is clean; debugfs (e2fsprogs) reads it out, without a mount and its privileges. fakeroot
keeps owners and modes; what debugfs does not write out (devices, pipes, sockets) is not compared.
"""

import fnmatch
import hashlib
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import cast

from harness import process
from harness.errors import LabError
from harness.medium.files import copy_file

_SECONDS = 300.0
_REPAIRED = (0, 1)  # exit codes of e2fsck(8): clean; errors corrected, as a boot does
_CLEAN = (0,)
# s_state of the superblock: https://docs.kernel.org/filesystems/ext4/super.html
_STATE, _ERRORS = 1024 + 0x3A, 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or link: what it is, its mode and owner, and what it holds."""

    kind: str  # file, folder, link
    mode: int
    owner: tuple[int, int]
    content: str  # SHA-256 of a file, target of a link


Tree = Mapping[str, Entry]  # path -> what is there


def read(image: Path) -> Tree | None:
    """The tree of an ext4 file system in a file, which is left as it is; see `repair`."""
    with tempfile.TemporaryDirectory(prefix="tree-") as name:
        copy = Path(name) / "image"
        copy_file(image, copy)
        return repair(copy)


def repair(image: Path) -> Tree | None:
    """The tree of an ext4 file system in a file, whose journal is replayed there; None when it is
    not sound: its kernel has found errors in it, or a boot's `e2fsck -p` gives it up or leaves
    errors behind. Of what is marked sound `-p` ends what a mount left open (files that were deleted
    while they were read), and looks for nothing to mend; of what is marked otherwise it mends all
    that it can, and damage would be gone before it is seen."""
    if not _ended(image, "-p", "-E", "journal_only", accepted=_REPAIRED) or _is_marked(image):
        return None
    if not _ended(image, "-p", accepted=_REPAIRED) or not _ended(image, "-fn", accepted=_CLEAN):
        return None
    with tempfile.TemporaryDirectory(prefix="tree-") as name:
        return dict(_read_out(image, Path(name)))


def _ended(image: Path, *how: str, accepted: Sequence[int]) -> bool:
    done = process.run(["e2fsck", *how, image], timeout=_SECONDS, check=False)
    return done.returncode in accepted


def _is_marked(image: Path) -> bool:
    """Whether its kernel has found errors; also those that the journal tells of, once replayed."""
    with image.open("rb") as stream:
        stream.seek(_STATE)
        return bool(int.from_bytes(stream.read(2), "little") & _ERRORS)


def _read_out(image: Path, folder: Path) -> Iterator[tuple[str, Entry]]:
    """All that is in a sound file system."""
    root, archive = folder / "root", folder / "tree.tar"
    root.mkdir()
    script = 'debugfs -R "rdump / $1" "$2" && tar -C "$1" --numeric-owner -cf "$3" .'
    argv: list[str | Path] = ["fakeroot", "sh", "-c", script, "sh", root, image, archive]
    done = process.run(argv, timeout=_SECONDS, check=False)
    # debugfs ends with 0 whatever was in its way; the first line is its version.
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("debugfs 1.")]
    if done.returncode != 0 or complaints:
        raise LabError("a file system cannot be read out", details="\n".join(complaints)[-2000:])
    with tarfile.open(archive) as members:
        for member in members:
            stream = members.extractfile(member) if member.isreg() else None
            yield (
                member.name.removeprefix("./"),
                Entry(
                    "folder" if member.isdir() else "link" if member.issym() else "file",
                    member.mode,
                    (member.uid, member.gid),
                    _sha256(cast(BufferedReader, stream)) if stream else member.linkname,
                ),
            )


def _sha256(stream: BufferedReader) -> str:  # which tarfile's type does not say
    return hashlib.file_digest(stream, "sha256").hexdigest()


def differences(found: Tree, wanted: Tree, *, allowed: Sequence[str]) -> list[str]:
    """Paths at which two trees differ, but for `allowed`: paths, or patterns of fnmatch, in which
    `*` goes on over slashes; what is below an allowed folder is allowed."""
    return [
        path
        for path in sorted({*found, *wanted})
        if found.get(path) != wanted.get(path) and not _is_allowed(path, allowed)
    ]


def compared(tree: Tree, allowed: Sequence[str]) -> int:
    """How many files of a tree are held against another's."""
    return sum(
        each.kind == "file" and not _is_allowed(path, allowed) for path, each in tree.items()
    )


def _is_allowed(path: str, allowed: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, each) or path.startswith(f"{each}/") for each in allowed)
