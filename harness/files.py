"""Files, and all that can be wrong with one: told in one line that names it, never a traceback.

Every file that somebody else may have written is read here. Whose fault it is decides the error:
ConfigurationError for what the user can put right (not there, a folder, a FIFO, no permission, too
large, not UTF-8, a name too long), LabError for what the machine is short of (space, inodes, open
files, a file system that can be written).
"""

import contextlib
import errno
import hashlib
import io
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import ConfigurationError, HarnessError, LabError
from harness.plain import one_line

logger = logging.getLogger(__name__)

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
LIMIT = 64 << 20  # bytes of a file that is read as a whole, unless its reader knows better

MACHINE = frozenset(  # what is no fault of the user's
    [
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    ]
)


_LONGEST = 200  # bytes of a name; file systems take 255, and who writes a file may add to it


def name_for(text: str) -> str:
    """A file name that says `text` and no other text: as it is, with `_` for `/`; of one that is
    too long, or has a `_` itself, the beginning and a digest."""
    name = text.replace("/", "_")
    if "_" not in text and len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return name.encode()[: _LONGEST - 20].decode(errors="ignore") + f"~{digest}"


def shown(path: Path | str) -> str:
    """A path as one line of text, whatever its bytes are."""
    return one_line(str(path))


def trouble(path: Path | str, error: OSError, *, hint: str = "") -> HarnessError:
    """What an error of the operating system means to a person; names the file."""
    kind = LabError if error.errno in MACHINE else ConfigurationError
    return kind(f"{shown(path)}: {error.strerror or error}", hint=hint)


@contextlib.contextmanager
def told(path: Path | str, *, hint: str = "") -> Iterator[None]:
    """A block that works on `path`: OSErrors in it become errors of ours that name it."""
    try:
        yield
    except OSError as error:
        raise trouble(path, error, hint=hint) from error


def is_file(path: Path) -> bool:
    """Whether it is a file; one that cannot even be looked at is none."""
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Whether it is a folder; one that cannot even be looked at is none."""
    return stat.S_ISDIR(_mode(path))


def entries(folder: Path) -> list[Path]:
    """What a folder holds, in order; nothing when there is none, or it is no folder. Raises where
    nobody may look: what cannot be seen is not nothing."""
    with told(folder):
        try:
            return sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            if folder.is_symlink():  # it leads to what is not there now
                raise
            return []


def make_folder(path: Path, *, mode: int = 0o777, hint: str = "") -> Path:
    """Make a folder, and those above it, unless it is there; returns it."""
    with told(path, hint=hint):
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def opened(path: Path, *, hint: str = "") -> Iterator[io.BufferedReader]:
    """A regular file for reading. Nothing else is waited for: no FIFO, no device."""
    with told(path, hint=hint):
        try:
            descriptor = os.open(path, _FLAGS)
        except ValueError as error:  # a name that no file can have
            raise ConfigurationError(f"{shown(path)}: no name of a file", hint=hint) from error
        with os.fdopen(_regular(descriptor, path, hint), "rb") as stream:
            yield stream


@contextlib.contextmanager
def member(folder: Path, name: str, *, of: Path) -> Iterator[io.BufferedReader]:
    """A regular file for reading, of what somebody packed: `folder` is what was unpacked of `of`,
    which errors name. No link is followed, and nothing that is no file is even opened."""
    what = f"{shown(of)}: {one_line(name)}"
    path = folder / name
    with told(what):
        if path.parent != folder or not stat.S_ISREG(path.lstat().st_mode):
            raise ConfigurationError(f"{what}: not a plain file")
        with os.fdopen(os.open(path, _FLAGS | os.O_NOFOLLOW), "rb") as stream:
            yield stream


def read(path: Path, *, limit: int = LIMIT, hint: str = "") -> bytes:
    """All bytes of a regular file of at most `limit` bytes. Raises ConfigurationError."""
    with opened(path, hint=hint) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ConfigurationError(f"{shown(path)}: larger than {limit:,} bytes", hint=hint)
    return content


def text(path: Path, *, limit: int = LIMIT, hint: str = "") -> str:
    """The text of a UTF-8 file. Raises ConfigurationError."""
    try:
        return read(path, limit=limit, hint=hint).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{shown(path)}: not UTF-8 (byte {error.start})", hint=hint
        ) from error


def require_private(path: Path) -> None:
    """Of a private key: ConfigurationError when others can change it, a warning when they can read
    it (some secret stores hand keys out that way)."""
    with told(path):
        mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        raise ConfigurationError(
            f"{shown(path)}: a private key that others can change (mode {mode:04o})",
            hint=f"make sure that it is yours, then: chmod 600 {shown(path)}",
        )
    if mode & 0o044:
        logger.warning("%s: a private key that others can read (mode %04o)", shown(path), mode)


def write_whole(path: Path, content: bytes, *, mode: int = 0o644, replace: bool = True) -> None:
    """Write a file so that a crash leaves the old content or the new one, never a part.

    Works in a file with a name of its own, of mode 0600 until it is complete. Without `replace`
    what is there stays: of several who write at once, one has written it.
    """
    with told(path):
        descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            if replace:
                Path(fresh).replace(path)
            else:
                _place(Path(fresh), path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _place(fresh: Path, path: Path) -> None:
    """A link, unlike a rename, never replaces anything."""
    with contextlib.suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()


def sync_folder(folder: Path) -> None:
    """The names in a folder are on disk before this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # ValueError: no name of a file
        return 0


def _regular(descriptor: int, path: Path, hint: str) -> int:
    """The descriptor, if it is one of a regular file; closed otherwise."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    kind = "a folder" if stat.S_ISDIR(mode) else "a FIFO or a device"
    raise ConfigurationError(f"{shown(path)}: {kind}, not a file", hint=hint)
