"""The release repository: plain Git, worked on in a private clone.

Nothing is ever merged: a promotion that loses a race is thrown away and made again on top of
what won, after the gate has looked again. Git is never allowed to ask for a password.
"""

import contextlib
import fcntl
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness import files, process
from harness.errors import PromotionError

_SECONDS = 120
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS_REQUIRE": "never",
    "LC_ALL": "C",  # the answers below are looked for in English
}
# Somebody else's push came first; git and git servers have many words for it.
_LOST = (
    "fetch first",
    "non-fast-forward",
    "stale info",
    "cannot lock ref",
    "failed to lock",
    "failed to update ref",
    "incorrect old value",
    "reference already exists",
)
_NO_CREDENTIALS = "give git a credential helper for this host: it may not ask here"
_NO_REPOSITORY = "check the path or URL; docs/promotion.md says how to make a release repository"
_HINTS = {
    "could not read Username": _NO_CREDENTIALS,
    "Authentication failed": _NO_CREDENTIALS,
    "Permission denied (publickey": "load a key that this host knows into ssh-agent",
    "Host key verification failed": "connect once with ssh by hand to accept the host's key",
    "Could not resolve host": "check the host's name and the network",
    "does not appear to be a git repository": _NO_REPOSITORY,
    "does not exist": _NO_REPOSITORY,
    "not found": _NO_REPOSITORY,
    "hook declined": "the server's rules refuse it: is the branch protected?",
    "dubious ownership": "the folder belongs to somebody else: see safe.directory, git-config(1)",
}


class Repository:
    """A private clone of the release repository at `url`; `folder` is its work tree."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self._checkout = _checkout_of(url)
        self.branch = self._git("symbolic-ref", "--short", "HEAD").strip()

    def refresh(self) -> None:
        """Make the clone what the remote is now, dropping everything of ours."""
        fetched = _run(["fetch", "--quiet", "origin", self.branch], folder=self.folder)
        if "couldn't find remote ref" in fetched.stderr:
            raise PromotionError(
                f"{self.url}: branch {self.branch} has no commits",
                hint="make a release repository first: docs/promotion.md",
            )
        if fetched.returncode:
            raise _failure(f"cannot fetch from {self.url}", fetched)
        self._git("reset", "--quiet", "--hard", "FETCH_HEAD")
        self._git("clean", "-ffdxq")

    def read(self, path: str) -> str | None:
        """A file's text, or None when the repository has no such file."""
        file = self.folder / path
        return files.text(file) if file.is_file() else None

    def write(self, path: str, content: bytes) -> None:
        """Write a file and have the next commit take it."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def commit(self, message: str) -> str:
        """Commit what was written; returns the commit's id."""
        self._git("add", "--all", "--force")  # whatever the user's git ignores
        self._git(*self._author(), "commit", "--quiet", "--file=-", stdin=message)
        return self._git("rev-parse", "HEAD").strip()

    def push(self) -> bool:
        """Publish the commit; False when somebody else's came first.

        A checkout on this host is updated together with its branch, and refused when it has
        changes of its own. Raises PromotionError with git's words for anything else.
        """
        words = ["push", "--porcelain"]
        with contextlib.ExitStack() as stack:
            if self._checkout:
                stack.enter_context(_one_at_a_time(self._checkout))
                _refuse_dirty(self._checkout)
                # git-config(1): updates the work tree if, and only if, it is clean.
                receiver = "git -c receive.denyCurrentBranch=updateInstead receive-pack"
                words.append(f"--receive-pack={receiver}")
            target = f"HEAD:refs/heads/{self.branch}"
            done = _run([*words, "origin", target], folder=self.folder)
        if done.returncode == 0:
            # "=": it was there already. Two harnesses that commit the same thing in the same
            # second make the same commit, and only one of them promoted it.
            return not any(line.startswith("=") for line in done.stdout.splitlines())
        refused = [line for line in done.stdout.splitlines() if line.startswith("!")]
        if any(word in line for line in refused for word in _LOST):
            return False
        raise _failure(f"cannot push to {self.url}", done)

    def _author(self) -> list[str]:
        """`-c` options that name the harness as author where git knows none."""
        email = _run(["config", "--get", "user.email"], folder=self._checkout or self.folder)
        name = _run(["config", "--get", "user.name"], folder=self._checkout or self.folder)
        return [
            "-c",
            f"user.name={name.stdout.strip() or 'harness'}",
            "-c",
            f"user.email={email.stdout.strip() or f'harness@{socket.gethostname()}'}",
        ]

    def _git(self, *words: str, stdin: str | None = None) -> str:
        return git(*words, folder=self.folder, stdin=stdin)


@contextlib.contextmanager
def cloned(url: str) -> Iterator[Repository]:
    """A fresh private clone for the length of the block. Raises PromotionError."""
    if Path(url).exists():
        url = str(Path(url).resolve())
    folder = Path(tempfile.mkdtemp(prefix="harness-promotion-"))
    try:
        # Symbolic links of the repository become plain text: no file outside is ever touched.
        words = ["clone", "--quiet", "-c", "core.symlinks=false", "--", url, str(folder / "clone")]
        done = _run(words, folder=folder)
        if done.returncode:
            raise _failure(f"cannot clone {url}", done)
        yield Repository(url, folder / "clone")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def git(*words: str, folder: Path, stdin: str | None = None) -> str:
    """What a git command in `folder` printed; raises PromotionError with git's own words."""
    done = _run(list(words), folder=folder, stdin=stdin)
    if done.returncode:
        raise _failure(f"git {words[0]} failed in {folder}", done)
    return done.stdout


def _run(words: list[str], *, folder: Path, stdin: str | None = None) -> process.Completed:
    # Inside a git hook these would point git at the wrong repository.
    strays = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"]
    argv = ["env", *(f"--unset={name}" for name in strays), "git", "-C", str(folder), *words]
    return process.run(
        argv, timeout=_SECONDS, error=PromotionError, env=_QUIET, stdin=stdin, check=False
    )


def _failure(what: str, done: process.Completed) -> PromotionError:
    told = "\n".join(part.strip() for part in (done.stderr, done.stdout) if part.strip())
    hint = next((hint for words, hint in _HINTS.items() if words in told), "")
    return PromotionError(
        what, details="\n".join(f"  {line}" for line in told.split("\n")), hint=hint
    )


def _checkout_of(url: str) -> Path | None:
    """The folder of a repository on this host that has a work tree, else None."""
    path = Path(url.removeprefix("file://"))
    if not path.is_dir():
        return None
    bare = _run(["rev-parse", "--is-bare-repository"], folder=path).stdout.strip()
    return path if bare == "false" else None


def _refuse_dirty(checkout: Path) -> None:
    changes = git("status", "--porcelain", "--untracked-files=no", folder=checkout)
    if changes:
        raise PromotionError(
            f"{checkout}: has changes that are not committed",
            details=changes.rstrip(),
            hint="commit or undo them there, or promote into a bare repository",
        )


@contextlib.contextmanager
def _one_at_a_time(checkout: Path) -> Iterator[None]:
    """Keep other harnesses out: git locks a branch on push, but not branch and work tree as one.

    The kernel gives the lock back when its holder dies; a holder is bounded by git's deadline.
    """
    folder = Path(git("rev-parse", "--absolute-git-dir", folder=checkout).strip())
    with (folder / "harness-promotion.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
