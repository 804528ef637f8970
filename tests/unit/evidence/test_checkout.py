"""Whether the harness is the one of its commit, whatever git has been told to see."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.evidence import checkout

CODE = ("harness", "labs")


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    done = subprocess.run(
        ["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a link, a program and files that are ignored."""
    root = tmp_path / "checkout"
    for name in ("harness/runner.py", "labs/qemu.yaml", "run"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}\n")
    (root / "run").chmod(0o755)
    (root / "link").symlink_to("run")
    (root / ".gitignore").write_text("build/\n__pycache__/\n")
    git(root.parent, "init", "--quiet", str(root))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    for name in ("build/out.img", "harness/__pycache__/runner.pyc"):
        (root / name).parent.mkdir()
        (root / name).write_text("made\n")
    return root


def test_a_clean_checkout(root: Path) -> None:
    assert checkout.changed(root, CODE) == ()
    assert checkout.commit(root) == git(root, "rev-parse", "HEAD")


def _changed(root: Path) -> None:
    (root / "harness/runner.py").write_text("other\n")


def _marked(word: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        git(root, "update-index", word, "harness/runner.py")
        _changed(root)

    return change


def _set(name: str, value: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        git(root, "config", name, value)
        (root / "labs/mine.yaml").write_text("mine\n")

    return change


def _excluded(root: Path) -> None:
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/exclude").write_text("mine.yaml\n")
    (root / "labs/mine.yaml").write_text("mine\n")


def _filtered(root: Path) -> None:
    """A clean filter that makes of anything what was committed."""
    (root / ".git/info").mkdir(exist_ok=True)
    (root / ".git/info/attributes").write_text("runner.py filter=lie\n")
    git(root, "config", "filter.lie.clean", "echo harness/runner.py")
    _changed(root)


def _ignored(root: Path) -> None:
    (root / "harness/build").mkdir()
    (root / "harness/build/conftest.py").write_text("more\n")


def _like_compiled(root: Path) -> None:
    (root / "harness/x__pycache__").mkdir()
    (root / "harness/x__pycache__/conftest.py").write_text("more\n")


def _beside_compiled(root: Path) -> None:
    (root / "harness/__pycache__/mine.yaml").write_text("more\n")


def _folder(root: Path) -> None:
    (root / "run").unlink()
    (root / "run").mkdir()


def _linked(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("labs")


RUNNER = "harness/runner.py"
CHANGES = {  # what is done, and the file that must be named
    "changed": (_changed, RUNNER),
    "gone": (lambda root: (root / "run").unlink(), "run"),
    "more": (lambda root: (root / "conftest.py").write_text("more\n"), "conftest.py"),
    "mode": (lambda root: (root / "run").chmod(0o644), "run"),
    "linked": (_linked, "link"),
    "assumed": (_marked("--assume-unchanged"), RUNNER),
    "skipped": (_marked("--skip-worktree"), RUNNER),
    "unshown": (_set("status.showUntrackedFiles", "no"), "labs/mine.yaml"),
    "excludes": (_excluded, "labs/mine.yaml"),
    "filtered": (_filtered, RUNNER),
    "ignored": (_ignored, "harness/build/conftest.py"),
    "like-compiled": (_like_compiled, "harness/x__pycache__/conftest.py"),
    "beside-compiled": (_beside_compiled, "harness/__pycache__/mine.yaml"),
    "a folder in its place": (_folder, "run"),
    "line ends": (lambda root: (root / RUNNER).write_text(f"{RUNNER}\r\n"), RUNNER),
}


@pytest.mark.parametrize(("change", "name"), CHANGES.values(), ids=CHANGES)
def test_a_checkout_with_changes(root: Path, change: Callable[[Path], object], name: str) -> None:
    change(root)
    assert checkout.changed(root, CODE) == (name,)


def test_what_is_made_there_does_not_count(root: Path) -> None:
    (root / "labs/one/out").mkdir(parents=True)
    (root / "labs/one/out/disk.img").touch()
    (root / "labs/one/found.json").touch()
    (root / "labs/qemu.yaml").write_text("other\n")
    made = ("labs/*/out/*", "labs/*/found.json")
    assert checkout.changed(root, CODE, made=made) == ("labs/qemu.yaml",)
    assert len(checkout.changed(root, CODE) or ()) == 3


def test_variables_of_a_hook_lead_nowhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = git(root, "rev-parse", "HEAD")
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(root), str(other))
    git(other, "commit", "--quiet", "--allow-empty", "--message", "second")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert checkout.commit(root) == here
    _changed(root)
    assert checkout.changed(root, CODE) == (RUNNER,)


def test_where_nobody_can_say(tmp_path: Path) -> None:
    assert (checkout.commit(tmp_path), checkout.changed(tmp_path, CODE)) == (None, None)


def test_a_folder_in_a_larger_repository_and_a_submodule(root: Path, tmp_path: Path) -> None:
    """A product in a part of a repository; and one whose files are another repository's."""
    outer = tmp_path / "outer"
    git(tmp_path, "init", "--quiet", str(outer))
    product = outer / "products/mine"
    (product / "labs").mkdir(parents=True)
    (product / "labs/desk.yaml").write_text("x\n")
    (product / 'a"b\nc').write_text("odd\n")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(root))
    git(product, *add, "parts")
    git(outer, "add", "--all")
    git(outer, "commit", "--quiet", "--message", "first")
    assert checkout.changed(product, CODE) == ()
    assert checkout.commit(product) == git(outer, "rev-parse", "HEAD")
    (outer / "elsewhere").write_text("more\n")
    assert checkout.changed(product, CODE) == ()
    (product / "parts/labs/qemu.yaml").write_text("other\n")
    (product / "labs/desk.yaml").write_text("other\n")
    assert checkout.changed(product, CODE) == ("labs/desk.yaml", "parts")
