"""Which commit a checkout is, and whether it is all of it.

Contents are compared. No setting, no index and no variable of whoever runs it has a say: files that
are marked as unchanged, excludes of one's own, or `GIT_DIR` as git sets it for a hook.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from harness import process
from harness.errors import HarnessError

_SECONDS = 60


def commit(root: Path) -> str | None:
    """The commit that is checked out; None when there is none."""
    told = _git(root, "rev-parse", "HEAD")
    return told and told.strip()


def changed(
    root: Path, code: Collection[str], *, made: Collection[str] = ()
) -> tuple[str, ...] | None:
    """The files of a checkout that are not those of its commit, and those that are more, by name;
    None when nobody can say. What the commit's own .gitignore leaves out does not count, but for
    what lies in the folders of `code`; what a pattern of `made` names does not count at all."""
    listed = _git(root, "ls-tree", "-r", "-z", "HEAD")
    with tempfile.TemporaryDirectory() as place:
        index = f"{place}/index"  # a fresh one, in which nothing is marked
        _git(root, "read-tree", "HEAD", index=index)
        words = ("ls-files", "--others", "-z")
        more = _git(root, *words, "--exclude-per-directory=.gitignore", index=index)
        hidden = _git(root, *words, "--", *code, index=index) if code else ""
    if listed is None or more is None or hidden is None:
        return None
    others = {name for name in f"{more}\0{hidden}".split("\0") if name}
    wanted = [line.split("\t", 1) for line in listed.split("\0") if line]
    different = _different(root, [(path, *told.split()[::2]) for told, path in wanted])
    found = {*different, *(name for name in others if not _is_compiled(name))}
    return tuple(sorted(n for n in found if not any(fnmatchcase(n, each) for each in made)))


def _is_compiled(name: str) -> bool:
    """Whether Python has left it there."""
    path = PurePosixPath(name)
    return path.parent.name == "__pycache__" and path.suffix == ".pyc"


def _different(root: Path, wanted: list[tuple[str, ...]]) -> set[str]:
    """Those of the files (path, mode and id) that are other ones, or are not there."""
    different = set()
    for path, mode, sha in wanted:
        file = root / path
        if mode == "120000":
            same = _git(root, "cat-file", "blob", sha) == _target(file)
        elif mode == "160000":  # a submodule: the commit that it must be at, and all of that
            same = commit(file) == sha and changed(file, ()) == ()
        else:
            same = _mode(file) == mode and _blob(file, sha) == sha
        if not same:
            different.add(path)
    return different


def _blob(file: Path, like: str) -> str:
    """What git calls a file's content, in the format that the id `like` has; empty where it cannot
    be read. No filter and no end of line is applied."""
    try:
        content = file.read_bytes()
    except OSError:
        return ""
    kind = "sha256" if len(like) == 64 else "sha1"
    return hashlib.new(kind, b"blob %d\0" % len(content) + content).hexdigest()


def _mode(file: Path) -> str:
    """What git calls the mode of a file; empty for what is none."""
    try:
        seen = file.lstat().st_mode
    except OSError:
        return ""
    if not stat.S_ISREG(seen):
        return ""
    return "100755" if seen & stat.S_IXUSR else "100644"


def _target(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


def _git(root: Path, *words: str, index: str = "") -> str | None:
    """What git prints, with another file for its index where one is named; None when it fails."""
    settings = ("-c", "core.fsmonitor=false", "-c", f"safe.directory={root}")
    try:
        done = process.run(
            ["git", *settings, "-C", root, *words],
            timeout=_SECONDS,
            env={"GIT_INDEX_FILE": index} if index else None,
            without=[name for name in os.environ if name.startswith("GIT_")],
        )
    except HarnessError:
        return None
    return done.stdout
