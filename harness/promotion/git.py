"""Git, as the release repository needs it: a bare folder in which objects are made and compared.

No work tree, so no filter, no line ending and no symbolic link of anybody's comes between a file
and its content; no hook and no template of whoever runs it. Git is never allowed to ask for a
password, and the remote's URL, which may hold one, is neither on disk nor in an argument of ours.
"""

import os
import re
from pathlib import Path

from harness import process
from harness.errors import PromotionError

SECONDS = 120.0  # for one git command
REMOTE = "origin"
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",  # git's answers are looked for in English
}
# Inside a git hook these would point git at the wrong repository.
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
)
_OWN = ("core.hooksPath=/dev/null", "i18n.commitEncoding=utf-8", "core.quotePath=false")
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
    "appears as both a file and as a directory": "what stands in its place is a submodule or a "
    "file, where the release repository has a folder",
}


class Git:
    """Commands of git in `folder`, whose remote is `url`."""

    def __init__(self, folder: Path, url: str = "", *, seconds: float = SECONDS) -> None:
        self.folder = folder
        self.url = url
        self.seconds = seconds

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
        own = [word for setting in _OWN for word in ("-c", setting)]
        return process.run(
            [
                *("env", *(f"--unset={name}" for name in _STRAYS)),
                "git",
                *own,
                "-C",
                self.folder,
                *words,
            ],
            timeout=self.seconds,
            error=PromotionError,
            env={**_QUIET, **self._remote(), **(env or {})},
            stdin=stdin,
            check=False,
        )

    def _remote(self) -> dict[str, str]:
        """The remote as one more setting of the environment (git-config(1), GIT_CONFIG_COUNT)."""
        if not self.url:
            return {}
        count = os.environ.get("GIT_CONFIG_COUNT", "0")
        number = int(count) if re.fullmatch(r"\d{1,4}", count) else 0
        return {
            "GIT_CONFIG_COUNT": str(number + 1),
            f"GIT_CONFIG_KEY_{number}": f"remote.{REMOTE}.url",
            f"GIT_CONFIG_VALUE_{number}": self.url,
        }


def failure(what: str, done: process.Completed, *, more: str = "") -> PromotionError:
    """The error of a command that failed, in git's own words and those of the remote."""
    told = "\n".join(part.strip() for part in (done.stderr, done.stdout) if part.strip())
    return failed(what, told, more=more)


def failed(what: str, told: str, *, more: str = "") -> PromotionError:
    """The same, of what was told."""
    hints = [more, next((hint for words, hint in _HINTS.items() if words in told), "")]
    return PromotionError(
        what,
        details="\n".join(f"  {line}" for line in told.splitlines()),
        hint="; ".join(filter(None, hints)),
    )


def initialised(folder: Path) -> Path:
    """Make an empty bare repository at `folder`, without anybody's template; returns it."""
    folder.mkdir()
    Git(folder).ask("init", "--quiet", "--bare", "--initial-branch=main", "--template=")
    return folder
