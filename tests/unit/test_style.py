"""House rules that no linter knows: who may import, print, exit and start processes."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "harness").rglob("*.py"))

# docs/architecture.md: imports go down this list, or stay in one line, and never in a circle.
# A module of `harness` that is not named here is at the bottom.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"starter", "simulate"},
    {"demo", "designs"},
    {"scenarios"},
    {"promotion"},
    {"evidence"},
    {"crash"},
    {"judge"},
    {"updates"},
    {"faults"},
    {"clients"},
    {"builders"},
    {"artifacts"},
    {"boards", "product"},
    {"medium"},
]
# The same inside of `harness/crash`; what lies beside the rooms stands on all of them.
ROOMS = ["exploration", "results", "equivalence", "disk", "states", "recording"]
ABOVE_THE_ROOMS = {"record", "inspect"}
BOTTOM = len(LAYERS)
SPEAKS_TO_THE_USER = {"__main__", "cli", "commands", "demo", "progress"}
PROCESS_STARTER = ROOT / "harness" / "process.py"


def part(module: str) -> str:
    """`harness.boards.qemu.driver` belongs to `boards`."""
    return module.removeprefix("harness.").split(".")[0]


def layer(name: str) -> int:
    return next((i for i, names in enumerate(LAYERS) if name in names), BOTTOM)


def imports(path: Path) -> Iterator[str]:
    """Full names of what a module imports, wherever in the module."""
    for node in ast.walk(ast.parse(path.read_text(), path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_part(path: Path) -> str:
    return path.relative_to(ROOT / "harness").with_suffix("").parts[0]


def uses() -> set[tuple[str, str]]:
    """Pairs (user, used) of different parts."""
    found = {
        (own_part(path), part(name))
        for path in MODULES
        for name in imports(path)
        if name.startswith("harness.")
    }
    return {(user, used) for user, used in found if user != used}


def test_imports_go_one_way() -> None:
    wrong = [f"{user} -> {used}" for user, used in uses() if layer(user) > layer(used)]
    assert wrong == []


def test_artifacts_are_read_in_a_room_of_their_own() -> None:
    """Finished images and those of a kas project are read alike, whoever makes artifacts of any."""
    builders = ROOT / "harness" / "builders"
    others = [path for name in ("finished", "yocto") for path in (builders / name).glob("*.py")]
    used = {name for path in others for name in imports(path)}
    assert "harness.artifacts.opener" in used
    assert [name for name in used if name.startswith("harness.builders.debian.artifacts")] == []


def test_rooms_of_crash_are_entered_one_way() -> None:
    crash = ROOT / "harness" / "crash"
    order = {name: i for i, name in enumerate(ROOMS)} | dict.fromkeys(ABOVE_THE_ROOMS, -1)
    wrong = [
        f"{path.relative_to(crash)} -> {name}"
        for path in crash.rglob("*.py")
        if path.parent != crash or path.stem != "__init__"
        for name in imports(path)
        if name.startswith("harness.crash.")
        and order[path.relative_to(crash).with_suffix("").parts[0]] > order[name.split(".")[2]]
    ]
    assert wrong == []


def test_no_two_parts_import_each_other() -> None:
    found = uses()
    assert [(user, used) for user, used in found if (used, user) in found] == []


def test_no_class_name_occurs_twice() -> None:
    """Whoever reads `Proof` in a traceback or a search must know which one; private or not."""
    where: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(), path)):
            if isinstance(node, ast.ClassDef):
                place = f"{path.relative_to(ROOT)}:{node.lineno}"
                where.setdefault(node.name.lstrip("_"), []).append(place)
    assert {name: places for name, places in where.items() if len(places) > 1} == {}


def made_later(path: Path) -> Iterator[str]:
    """Attributes of objects that are first made, or deleted, when these have long been there."""
    for each in ast.walk(ast.parse(path.read_text(), path)):
        if not isinstance(each, ast.ClassDef):
            continue
        made = {node.target.id for node in each.body if _declares(node)}  # type: ignore[attr-defined]
        later = []
        for method in (node for node in each.body if isinstance(node, ast.FunctionDef)):
            for node in ast.walk(method):
                if not isinstance(node, ast.Attribute) or ast.unparse(node.value) != "self":
                    continue
                if method.name == "__init__" and isinstance(node.ctx, ast.Store):
                    made.add(node.attr)
                elif isinstance(node.ctx, ast.Store | ast.Del):
                    later.append((node, isinstance(node.ctx, ast.Del)))
        for node, deleted in later:
            if deleted or node.attr not in made:
                yield f"{path.name}:{node.lineno}: {each.name}.{node.attr}"


def _declares(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def test_what_the_explorer_makes_is_whole_from_the_beginning() -> None:
    """No object of `crash` has a time before it may be used, nor one after."""
    crash = (ROOT / "harness" / "crash").rglob("*.py")
    assert [line for path in crash for line in made_later(path)] == []


def importers(package: str) -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for path in MODULES
        if any(f"{name}.".startswith(f"{package}.") for name in imports(path))
    }


def test_labgrid_stays_behind_the_boards() -> None:
    outside = {path for path in importers("labgrid") if not path.startswith("harness/boards/")}
    assert outside == set()


def test_nobody_but_builders_knows_one_of_them() -> None:
    """A product is whoever's: others ask `harness.builders.builder`."""
    inside = importers("harness.builders.debian")
    assert {path for path in inside if not path.startswith("harness/builders/")} == set()
    assert "harness/builders/debian/build.py" in inside  # it can fail


def test_pytest_begins_without_labgrid() -> None:
    """labgrid is a plugin of pytest, which warns of one that was imported before: `harness test`
    would end before it has begun."""
    parts = ("scenarios.runner", "scenarios.matrix", "demo", "evidence.crash", "promotion.promote")
    names = ", ".join(f"harness.{part}" for part in parts)
    code = f"import sys, {names}; sys.exit('labgrid' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_only_one_module_starts_processes() -> None:
    """Others may name `subprocess.Popen` as a type, but not call anything there."""
    starting = re.compile(
        r"subprocess[.]|os[.](system|popen|fork|exec\w+|spawn\w+|posix_spawn\w*)$|multiprocessing|pty"
        r"|asyncio[.]create_subprocess"
    )
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node.func)}"
        for path in MODULES
        if path != PROCESS_STARTER
        for node in ast.walk(ast.parse(path.read_text(), path))
        if isinstance(node, ast.Call) and starting.match(ast.unparse(node.func))
    ]
    assert wrong == []


def test_only_one_module_writes_files_whole() -> None:
    """A new name, on disk before it is renamed (`harness.files.write_whole`): by hand, one of the
    three is soon forgotten. `text.replace` has two arguments, `Path.replace` has one."""

    def by_hand(call: ast.Call) -> bool:
        name = ast.unparse(call.func)
        renames = name.endswith(".replace") and len(call.args) == 1 and not call.keywords
        return renames or name in {"os.replace", "os.rename", "os.fsync"}

    found = {
        str(path.relative_to(ROOT))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(), path))
        if isinstance(node, ast.Call) and by_hand(node)
    }
    # The other one writes a card, which is no file.
    assert found == {"harness/files.py", "harness/boards/hardware/card_host.py"}


@pytest.mark.parametrize("package", ["typer", "rich.console"])
def test_only_the_command_line_speaks_to_the_user(package: str) -> None:
    assert {
        path for path in importers(package) if own_part(ROOT / path) not in SPEAKS_TO_THE_USER
    } == set()


def not_caught(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that name what an `except` catches."""
    handlers = [node.type for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    caught = {each for kind in handlers if kind for each in ast.walk(kind)}
    return (node for node in ast.walk(tree) if node not in caught)


def test_only_the_command_line_exits() -> None:
    leaving = {"exit", "_exit", "SystemExit", "print"}
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if own_part(path) not in SPEAKS_TO_THE_USER
        for node in not_caught(ast.parse(path.read_text(), path))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.exit", "os._exit"})
        or (isinstance(node, ast.Name) and node.id in leaving)
    ]
    assert wrong == []


def committed_texts() -> Iterator[tuple[Path, str]]:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for path in (ROOT / name for name in names if name):
        if path.is_file() and path.name != "requirements.lock":
            yield path, path.read_text(errors="replace")


def test_no_committed_file_is_large() -> None:
    """An image that a command left in the checkout is soon committed with all the rest."""
    large = [str(path) for path, _ in committed_texts() if path.stat().st_size > 1 << 20]
    assert large == []


# Where packages come from is the machine's configuration; no machine has another one's paths.
FORBIDDEN = {
    "package mirror": re.compile(
        r"https?://[\w.-]*(?:debian[.]org/debian|pypi[.]org|pythonhosted[.]org|npmjs[.]org)"
    ),
    "machine path": re.compile(r"(?<![\w.>}])/(?:home/(?!dev\b)\w+|work/main|work/shared|tmp/w)/"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_committed_file_depends_on_one_machine(what: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for path, text in committed_texts()
        for match in FORBIDDEN[what].finditer(text)
    ]
    assert wrong == []


def test_the_rules_can_fail() -> None:
    """Negative control: the patterns find what they are for."""
    assert FORBIDDEN["package mirror"].search("deb http://deb." + "debian.org/debian bookworm main")
    assert FORBIDDEN["machine path"].search('open("/home/' + 'me/x")')
    assert layer("boards") > layer("evidence")
    assert layer("errors") == BOTTOM
