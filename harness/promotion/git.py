"""Git, as the release repository needs it: a bare folder in which objects are made and compared.

No work tree, so no filter, no line ending and no symbolic link of anybody's comes between a file
and its content; no hook, no template and no other program of whoever runs it (see
`harness.promotion.settings`). Git is never allowed to ask for a password, and the remote's URL,
which may hold one, is neither on disk nor in an argument of ours.
"""

import functools
import os
from pathlib import Path

from harness import files, process
from harness.errors import HarnessError, LabError, PromotionError
from harness.promotion import settings

SECONDS = 120.0  # for one git command
_LARGEST = 64 << 20  # bytes that it prints: a server and a history are somebody's
REMOTE = "origin"
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",  # no program: neither this one, core.askPass nor SSH_ASKPASS (git-config(1))
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",  # git's answers are looked for in English
}
# These would point git at the wrong repository (in a git hook), or change what a new one is.
_STRAYS = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
    "GIT_DEFAULT_HASH",
    "GIT_TEMPLATE_DIR",
)
# Told otherwise, as far as they are let in; or ways to ask.
_REPLACED = ("GIT_CONFIG_PARAMETERS", "GIT_CONFIG", "SSH_ASKPASS")
_SAFE = "safe.config"
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
    "would be overwritten by": "the checkout has files of these names that are in no commit: move "
    "them away (the same evidence comes back with the promotion)",
    "dubious ownership": "the folder belongs to somebody else: see safe.directory, git-config(1)",
    "appears as both a file and as a directory": "what stands in its place is a submodule or a "
    "file, where the release repository has a folder",
}


_MACHINE = tuple(os.strerror(number) for number in files.MACHINE)


class Git:
    """Commands of git in `folder`, whose remote is `url`."""

    def __init__(self, folder: Path, url: str = "", *, seconds: float = SECONDS) -> None:
        self.folder = folder
        self.url = url
        self.seconds = seconds

    @functools.cached_property
    def theirs(self) -> list[settings.Setting]:
        """The configuration of whoever runs this, in this folder, whole: nothing is run for it."""
        done = self._run("config", "--list", "-z", without=_STRAYS, env={})
        if done.returncode:
            raise failure(f"git config failed in {self.folder}", done)
        return settings.parsed(done.stdout)

    def setting(self, name: str) -> str:
        """What that says under a name; nothing: an empty text."""
        return dict(self.theirs).get(name, "").strip()

    def ask(
        self, *words: str | Path, stdin: str | None = None, env: dict[str, str] | None = None
    ) -> str:
        """What a command printed; raises PromotionError with git's own words."""
        done = self.attempt(*words, stdin=stdin, env=env)
        if done.returncode:
            raise failure(f"git {words[0]} failed in {self.folder}", done)
        return done.stdout

    def attempt(
        self, *words: str | Path, stdin: str | None = None, env: dict[str, str] | None = None
    ) -> process.Completed:
        """What became of a command; PromotionError when it took too long."""
        told = settings.let_in(self.theirs)
        if self.url:
            told.append((f"remote.{REMOTE}.url", self.url))
        instead = {"GIT_CONFIG_GLOBAL": str(self._global), "GIT_CONFIG_NOSYSTEM": "1"}
        return self._run(
            *words,
            without=(*_STRAYS, *_REPLACED),
            env={**settings.environment(told), **instead, **(env or {})},
            stdin=stdin,
        )

    def initialise(self, *, form: str = "sha1") -> None:
        """Make the folder an empty bare repository, without anybody's template; `form` is the
        format of its objects, for a remote the remote's."""
        start = ["init", "--quiet", "--bare", "--initial-branch=main", "--template="]
        self.ask(*start, f"--object-format={form}")

    @functools.cached_property
    def _global(self) -> Path:
        """What stands in for the file of whoever runs this. At the other end, for a remote on this
        host, git reads that file, and none of our variables."""
        safe = [value for name, value in self.theirs if name == "safe.directory" and self.url]
        for value in safe:
            words = ("config", "--file", self.folder / _SAFE, "--add", "safe.directory", value)
            self._run(*words, without=_STRAYS, env={})
        return self.folder / _SAFE if safe else Path(os.devnull)

    def _run(
        self,
        *words: str | Path,
        without: tuple[str, ...],
        env: dict[str, str],
        stdin: str | None = None,
    ) -> process.Completed:
        return process.run(
            ["git", "-C", self.folder, *words],
            timeout=self.seconds,
            error=PromotionError,
            env={**_QUIET, **env},
            without=without,
            stdin=stdin,
            largest=_LARGEST,
            check=False,
        )


def failure(what: str, done: process.Completed, *, more: str = "") -> HarnessError:
    """The error of a command that failed, in git's own words and those of the remote."""
    told = "\n".join(part.strip() for part in (done.stderr, done.stdout) if part.strip())
    return failed(what, told, more=more)


def failed(what: str, told: str, *, more: str = "") -> HarnessError:
    """The same, of what was told: PromotionError, or LabError for what this machine is short of."""
    hints = [more, next((hint for words, hint in _HINTS.items() if words in told), "")]
    ours = "\n".join(line for line in told.splitlines() if not line.startswith("remote:"))
    kind = LabError if any(words in ours for words in _MACHINE) else PromotionError
    return kind(
        what,
        details="\n".join(f"  {line}" for line in told.splitlines()),
        hint="; ".join(filter(None, hints)),
    )
