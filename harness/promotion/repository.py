"""The release repository: plain Git, worked on in a private clone without a work tree.

Nothing is ever merged: a promotion that loses a race is thrown away and made again on top of
what won, after the gate has looked again. What a push is said to have done is not believed: the
branch is read back, and compared.
"""

import contextlib
import os
import shlex
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import ConfigurationError, HarnessError, LabError, PromotionError
from harness.plain import without_credentials
from harness.process import Completed
from harness.promotion import lock, settings
from harness.promotion.git import REMOTE, SECONDS, Git, failed, failure

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
_STANDING = 3  # pushes in a row that lost against a branch that has not moved
_LARGEST = 1 << 20  # bytes of a file that is read
_BRANCHES = "refs/heads/"
_SHA256 = 64  # digits of an id, where a repository has that format
_FILES = ("100644", "100755")  # modes of what is no link and no submodule


class Draft:
    """A commit in the making, in the bare repository of `git`: its base, and what is written.

    Contents go into objects as they are, by no way that a filter, a hook or a link could be in.
    """

    def __init__(self, git: Git) -> None:
        self.git = git
        self.base = ""  # the commit that is built on; none: the first one
        self._files: dict[str, tuple[str, str, int]] = {}  # path -> mode, id, size; of the base
        self.written: dict[str, str] = {}  # path -> id of its content
        self._texts: dict[str, str] = {}  # of contents in the history, by id

    def start(self, base: str) -> None:
        """Drop everything of ours, and build on a commit."""
        self.git.ask("read-tree", base)
        self.base, self.written, self._files = base, {}, {}
        for line in self.git.ask("ls-tree", "-r", "-l", "-z", "--full-tree", base).split("\0")[:-1]:
            told, path = line.split("\t", 1)
            mode, _, sha, size = told.split()
            self._files[path] = mode, sha, int(size) if size.isdigit() else 0

    def read(self, path: str) -> str | None:
        """A file's text in the base, or None when there is no such file.

        Raises ConfigurationError for what is no file (a link, a submodule), or no text.
        """
        if path not in self._files:
            return None
        mode, sha, size = self._files[path]
        if mode not in _FILES:
            raise ConfigurationError(f"{path}: no file in the release repository (mode {mode})")
        if size > _LARGEST:
            raise ConfigurationError(f"{path}: larger than {_LARGEST:,} bytes")
        text = self.git.ask("cat-file", "blob", sha)
        if "\ufffd" in text or "\0" in text:
            raise ConfigurationError(f"{path}: not text in UTF-8")
        return text

    def history(self, path: str) -> list[str]:
        """Each text that a file has ever had, newest first, on whichever line of the history."""
        words = ["--full-history", "-m", "--root", "--format=", "--raw", "--no-abbrev"]
        lines = self.git.ask("log", *words, "--no-renames", self.base, "--", path).splitlines()
        found = [line.split()[3] for line in lines if line.split()[1] in _FILES]
        ids = list(dict.fromkeys(found))
        if wanted := [sha for sha in ids if sha not in self._texts]:
            self._texts |= self._contents(wanted)
        return [self._texts[sha] for sha in ids if sha in self._texts]

    def _contents(self, wanted: Sequence[str]) -> dict[str, str]:
        """The text of each content, by its id, but of those that are too large to be read."""
        names = "".join(f"{sha}\n" for sha in wanted)
        listed = [
            line.split()
            for line in self.git.ask("cat-file", "--batch-check", stdin=names).splitlines()
        ]
        wanted = [sha for sha, _, size in listed if int(size) <= _LARGEST]
        names = "".join(f"{sha}\n" for sha in wanted)
        told = self.git.ask("cat-file", "--batch", stdin=names)
        if "\ufffd" in told:  # lengths are of bytes, and these are no longer what they were
            return {sha: self.git.ask("cat-file", "blob", sha) for sha in wanted}
        rest, found = told.encode(), {}
        for sha in wanted:
            header, _, rest = rest.partition(b"\n")
            size = int(header.split()[2])
            found[sha], rest = rest[:size].decode(), rest[size + 1 :]
        return found

    def write(self, path: str, content: bytes) -> None:
        """Have the next commit take a file."""
        with tempfile.NamedTemporaryFile(dir=self.git.folder) as file:
            file.write(content)
            file.flush()
            sha = self.git.ask("hash-object", "-w", "--no-filters", "--", file.name).strip()
        self.git.ask("update-index", "--add", "--cacheinfo", f"100644,{sha},{path}")
        self.written[path] = sha

    def commit(self, message: str, who: dict[str, str]) -> str:
        """Commit what was written; returns the commit's id."""
        tree = self.git.ask("write-tree").strip()
        parent = ["-p", self.base] if self.base else []
        return self.git.ask("commit-tree", *parent, tree, stdin=message, env=who).strip()


class Repository:
    """A private clone of the release repository that `git.url` names, in an empty folder."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._draft = Draft(git)
        self._checkout = _checkout_of(git)
        self._commit = ""
        self._lost: list[HarnessError] = []  # what was said of pushes, since the branch has moved
        self.branch, form = self._look()
        git.initialise(form=form)

    @property
    def url(self) -> str:
        """Where it is; without credentials."""
        return without_credentials(self._git.url)

    def refresh(self) -> None:
        """Make the clone what the remote is now, dropping everything of ours.

        Raises PromotionError, with git's words, when nobody's pushes came first, and ours are lost
        all the same.
        """
        done = self._fetch()
        if done.returncode:
            raise failure(f"cannot fetch from {self.url}", done)
        if self._git.attempt("rev-parse", "--verify", "--quiet", "FETCH_HEAD").returncode:
            raise PromotionError(
                f"{self.url}: gives no history: it is a shallow clone",
                hint="git fetch --unshallow there, or name the repository that it was made from",
            )
        tip = self._tip()
        self._lost = self._lost if tip == self._draft.base else []
        if len(self._lost) >= _STANDING:
            raise self._lost[-1]
        self._draft.start(tip)

    def read(self, path: str) -> str | None:
        """A file's text as the remote has it, or None; ConfigurationError when it is no file."""
        return self._draft.read(path)

    def history(self, path: str) -> list[str]:
        """Each text that a file has ever had there, newest first."""
        return self._draft.history(path)

    def write(self, path: str, content: bytes) -> None:
        """Have the next commit take a file."""
        self._draft.write(path, content)

    def commit(self, message: str) -> str:
        """Commit what was written; returns the commit's id."""
        self._commit = self._draft.commit(message, author(self._checkout or self._git))
        return self._commit

    def push(self) -> bool:
        """Publish the commit; False when somebody else's came first.

        A checkout on this host is updated together with its branch, and refused when it has
        changes of its own. The branch is read back then: a push counts when it holds the commit,
        whatever was answered and however late. Raises PromotionError, with git's words, when it
        does not.
        """
        try:
            done = self._push()
        except PromotionError as error:  # took too long: nobody knows what it has done
            return self._settled(error)
        refused = [line for line in done.stdout.splitlines() if line.startswith("!")]
        if done.returncode == 0:
            # "=": it was there already. Two harnesses that commit the same thing in the same
            # second make the same commit, and only one of them promoted it.
            if any(line.startswith("=") for line in done.stdout.splitlines()):
                return False
            return self._settled(failed(f"{self.url}: took the push, and does not hold it", ""))
        if any(word in line for line in refused for word in _LOST):
            self._lost.append(failure(f"cannot push to {self.url}", done, more=self._standing()))
            return False
        return self._settled(failure(f"cannot push to {self.url}", done))

    def _push(self) -> Completed:
        words = ["push", "--porcelain", "--no-follow-tags"]
        with contextlib.ExitStack() as stack:
            if self._checkout:
                place = self._checkout.ask("rev-parse", "--absolute-git-dir").strip()
                stack.enter_context(lock.held(Path(place), seconds=self._git.seconds))
                _refuse_dirty(self._checkout, Path(place))
                told = settings.receiving(self._checkout.theirs)
                receiver = ["env", *(f"{name}={value}" for name, value in told.items())]
                words.append(f"--receive-pack={shlex.join([*receiver, 'git', 'receive-pack'])}")
            target = f"{self._commit}:{_BRANCHES}{self.branch}"
            return self._git.attempt(*words, REMOTE, target)

    def _settled(self, error: HarnessError) -> bool:
        """True when the remote's branch holds our commit, as it was made; else raises `error`, with
        what is there."""
        try:
            done = self._fetch()
            if done.returncode:
                raise failure("cannot look what is there now", done)
            if self._holds():
                return True
            there = f"the ring was not changed: {self.branch} is at {self._tip()[:12]}"
        except (PromotionError, LabError) as unknown:
            there = f"whether the ring has changed is not known ({unknown.brief}): look before you"
            there += " try again"
        hint = "; ".join(filter(None, (error.hint, there)))
        raise type(error)(error.brief, details=error.details, hint=hint) from error

    def _standing(self) -> str:
        """What to do about a push that is lost though nobody else has pushed."""
        ref = f"{_BRANCHES}{self.branch}"
        return (
            f"{self.branch} has not moved: where no git is at work there, one that was killed has "
            f"left {ref}.lock in the repository's git folder: delete it. The ring was not changed"
        )

    def _holds(self) -> bool:
        """Whether what was fetched last has our commit, and that exactly what we wrote."""
        within = self._git.attempt("merge-base", "--is-ancestor", self._commit, "FETCH_HEAD")
        return within.returncode == 0 and all(
            self._git.ask("rev-parse", f"{self._commit}:{path}").strip() == sha
            for path, sha in self._draft.written.items()
        )

    def _fetch(self) -> Completed:
        words = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
        ]
        return self._git.attempt(*words, REMOTE, f"{_BRANCHES}{self.branch}")

    def _tip(self) -> str:
        return self._git.ask("rev-parse", "FETCH_HEAD").strip()

    def _look(self) -> tuple[str, str]:
        """The branch that the remote's HEAD names, and the format of its objects. Git would guess a
        branch, where it names none."""
        done = self._git.attempt("ls-remote", "--symref", REMOTE)
        if done.returncode:
            raise failure(f"cannot read {self.url}", done)
        listed = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
        named = [value.removeprefix("ref: ") for value, name in listed if name == "HEAD"]
        branch = next((ref for ref in named if ref.startswith(_BRANCHES)), "")
        if branch and any(name == branch for _, name in listed):
            long = any(len(value) == _SHA256 for value, name in listed if name == branch)
            return branch.removeprefix(_BRANCHES), "sha256" if long else "sha1"
        if not listed or branch or not named:
            raise PromotionError(
                f"{self.url}: the branch that its HEAD names has no commits",
                hint="make a release repository first: docs/promotion.md",
            )
        raise PromotionError(
            f"{self.url}: its HEAD names no branch, so nothing says where a promotion goes",
            hint="check out the branch of the rings there: git switch BRANCH",
        )


@contextlib.contextmanager
def cloned(url: str, *, seconds: float = SECONDS) -> Iterator[Repository]:
    """A fresh private clone for the length of the block; `seconds` for each command of git.

    Raises PromotionError, and ConfigurationError when `url` is empty.
    """
    if not url.strip():  # as a path that would be the folder where we are
        hint = "name the release repository: a path, or any URL that git takes"
        raise ConfigurationError("--repo: is empty", hint=hint)
    with contextlib.suppress(OSError, ValueError):  # no name for a file may be a URL
        url = str(Path(url).resolve()) if Path(url).exists() else url
    folder = Path(tempfile.mkdtemp(prefix="harness-promotion-"))
    try:
        yield Repository(Git(folder, url, seconds=seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def author(git: Git) -> dict[str, str]:
    """Who makes a commit: whom git knows there, or the harness, as variables of git-commit(1)."""
    email = git.setting("user.email") or f"harness@{socket.gethostname()}"
    found = {"NAME": git.setting("user.name") or "harness", "EMAIL": email}
    return {
        name: text
        for role in ("AUTHOR", "COMMITTER")
        for what, text in found.items()
        if (name := f"GIT_{role}_{what}") not in os.environ
    }


def _checkout_of(git: Git) -> Git | None:
    """A repository on this host that has a work tree, else None. ConfigurationError for a folder
    that is within its .git: its work tree is another."""
    path = Path(git.url.removeprefix("file://"))
    try:
        if not path.is_dir():
            return None
    except OSError:
        return None
    there = Git(path)
    asked = ("--is-bare-repository", "--is-inside-git-dir")
    told = there.attempt("rev-parse", *asked).stdout.split()
    if told == ["false", "true"]:
        place = path.parent if path.name == ".git" else "its folder"
        raise ConfigurationError(
            f"--repo: {path}: is the git folder of a checkout",
            hint=f"name the checkout itself: {place}",
        )
    return there if told == ["false", "false"] else None


def _refuse_dirty(checkout: Git, place: Path) -> None:
    """PromotionError for what keeps git from updating a checkout, whose git folder is `place`."""
    if (stale := place / "index.lock").exists():
        raise PromotionError(
            f"{stale}: a git is at work in the checkout, or one that was killed has left it",
            hint="wait for the git there; where there is none, delete the file",
        )
    # In a submodule git would run git, with that one's own configuration.
    words = ("--porcelain", "--untracked-files=no", "--ignore-submodules=all")
    changes = checkout.ask("status", *words)
    if changes:
        raise PromotionError(
            f"{checkout.folder}: has changes that are not committed",
            details=changes.rstrip(),
            hint="commit or undo them there, or promote into a bare repository",
        )
