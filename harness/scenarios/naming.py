"""What scenarios are called and may ask for; what of a product's own is refused.

A record is taken for that of the scenario whose name it has, and rests on the fixtures that it is
made with: neither can be another's.
"""

from pathlib import Path

import pytest

from harness.boards.capability import Capability
from harness.boards.lab_file import Part

SUITE = Path(__file__).parent / "suite"
# Whose verdicts the gate takes for more than that of a scenario.
RESERVED = {"negative-control", "correct-product", "crash", "crash-card-cache"}
NEEDS = [*map(str, Capability), *map(str, Part)]  # what a scenario may name
# What records rest on: a scenario of a product's own that had another one would tell of another
# release or board.
_FIXTURES = ("bench", "releases", "run_folder", "scenario", "pytestconfig", "worker_id")
_PROVIDERS = ("harness.scenarios.plugin", "xdist.plugin", "_pytest.fixtures")


def scenario_id(item: pytest.Item) -> str:
    """`test_power_cut[write:50%/none]` is the scenario `power-cut[write:50%/none]`."""
    function, bracket, case = item.name.partition("[")
    return function.removeprefix("test_").replace("_", "-") + bracket + case


def is_own(item: pytest.Item) -> bool:
    """Whether it is a product's own."""
    return not item.path.is_relative_to(SUITE)


def require_good(items: list[pytest.Item]) -> None:
    """UsageError that names the first scenario which is none."""
    _require_different(items)
    _require_ours(items)
    _require_known(items)


def _require_different(items: list[pytest.Item]) -> None:
    """UsageError when two tests are called alike (a record could be that of either), or one of a
    product's own as what only the harness can show, whatever its parameter: a policy that asks for
    `power-cut[*]` means ours."""
    places: dict[str, pytest.Item] = {}
    for item in items:
        name = scenario_id(item)
        earlier = places.setdefault(name, item)
        if earlier is not item:
            raise pytest.UsageError(f"{name} is in both {place(earlier)} and {place(item)}")
    ours = {_kind(item) for item in items if not is_own(item)} | RESERVED
    for item in items:
        if is_own(item) and _kind(item) in ours:
            name = scenario_id(item)
            raise pytest.UsageError(f"{name} in {place(item)}: is a name of the harness's own")


def _require_ours(items: list[pytest.Item]) -> None:
    """UsageError for a product's own scenario that has put something else in place of a fixture of
    the harness."""
    for item in filter(is_own, items):
        if isinstance(item, pytest.Function):
            known = item._fixtureinfo.name2fixturedefs
            for name in _FIXTURES:
                given = known.get(name, ())
                replaced = [each for each in given if each.func.__module__ not in _PROVIDERS]
                if replaced or name in getattr(getattr(item, "callspec", None), "params", {}):
                    told = f"{place(item)}: fixture {name}: is the harness's own, and has another"
                    raise pytest.UsageError(f"{told} in place of it")


def _kind(item: pytest.Item) -> str:
    """What a scenario is called, whatever its parameter."""
    return scenario_id(item).partition("[")[0]


def _require_known(items: list[pytest.Item]) -> None:
    """UsageError for a need that no board could ever fill: it would be left out for ever."""
    for item in items:
        if strange := sorted(names(item, "needs").difference(NEEDS)):
            told = f"{place(item)}: needs({strange[0]!r}): is none of {', '.join(NEEDS)}"
            raise pytest.UsageError(told)


def names(item: pytest.Item, marker: str) -> set[str]:
    """What all markers of that name take together; UsageError for anything but names."""
    found: set[str] = set()
    for each in item.iter_markers(marker):
        if wrong := [arg for arg in each.args if not isinstance(arg, str)]:
            raise pytest.UsageError(f"{place(item)}: {marker}({wrong[0]!r}): takes names")
        found.update(each.args)
    return found


def place(item: pytest.Item) -> str:
    """Its file, and its class where it has one."""
    return "::".join([str(item.path), *item.nodeid.split("::")[1:-1]])
