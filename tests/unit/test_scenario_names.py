"""docs/scenarios.md names every scenario, with its tier, and none that there is not."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

COLLECT = """
import sys, pytest
from harness.scenarios.plugin import scenario_id
class Tell:
    def pytest_collection_finish(self, session):
        for item in session.items:
            sys.stderr.write(f"{scenario_id(item)} {bool(item.get_closest_marker('ci'))}\\n")
words = ["--collect-only", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
sys.exit(pytest.main([*words, "-p", "harness.scenarios.plugin", sys.argv[1]], plugins=[Tell()]))
"""
SUITE = Path("harness/scenarios/suite")
ASKED_FOR = {
    "aimed-cut[AIM]",
    "bisected-cuts[SWEEP]",
    "faults[FAULTS]",
    "walk[EVENTS]",
    "walk[seed:N]",
    "negative-control[...]",
}  # no list of ids
_PLACE = re.compile(
    r"[A-Z]{3,}(-COPY)?|(?<=cover:)N"
)  # of what stands for many, as in `network[FAULT]`


@pytest.fixture(scope="module")
def scenarios() -> dict[str, bool]:
    """Id -> whether it is of the tier ci."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, str(SUITE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    lines = (line.rsplit(" ", 1) for line in done.stderr.splitlines())
    return {name: told == "True" for name, told in lines if not name.endswith("[NOTSET]")}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    section = Path("docs/scenarios.md").read_text().split(f"{heading}\n", 1)[1]
    lines = section.split("\n## ")[0].splitlines()
    return [line.strip("| ").split(" | ") for line in lines if re.match(r"\| `", line)]


def named(cell: str) -> list[str]:
    """The ids in a cell: `[x]` is another one of the scenario before it."""
    found: list[str] = []
    for word in re.findall(r"`([^`]+)`", cell):
        whole = word if word[0] != "[" else found[-1].partition("[")[0] + word
        if not whole.startswith("server_ca"):
            found.append(whole)
    return found


def like(name: str) -> re.Pattern[str]:
    """What an id matches that may stand for many."""
    return re.compile(_PLACE.sub(".+", re.escape(name)))


def test_every_scenario_is_named_and_every_name_is_one(scenarios: dict[str, bool]) -> None:
    told = [name for row in rows("# Scenarios") for name in named(row[0])]
    controls = [f"negative-control[{named(row[0])[0]}]" for row in rows("## Negative controls")]
    patterns = [like(name) for name in (*told, *controls)]
    assert [each for each in scenarios if not any(p.fullmatch(each) for p in patterns)] == []
    assert [
        pattern.pattern
        for name, pattern in zip((*told, *controls), patterns, strict=True)
        if name not in ASKED_FOR and not any(map(pattern.fullmatch, scenarios))
    ] == []


def test_the_tier_is_the_one_that_is_told(scenarios: dict[str, bool]) -> None:
    wrong: list[object] = []
    for row in rows("# Scenarios"):
        names, tier = named(row[0]), row[4].strip("| ") if len(row) > 4 else ""
        right = True
        own = {s for s in scenarios if any(like(name).fullmatch(s) for name in names)}
        in_ci = {s for s in own if scenarios[s]}
        if tier == "ci" and names[0] not in ASKED_FOR:
            right = bool(in_ci)
        elif names[0] not in ASKED_FOR:
            right = len(in_ci) == len(re.findall(r"`[^`]+`", tier))
        wrong += [] if right else [(names, tier, in_ci)]
    for row in rows("## Negative controls"):
        name, nightly = named(row[0])[0], "nightly" in row[0] or "nightly" in row[1]
        wrong += [] if scenarios[f"negative-control[{name}]"] is not nightly else [name]
    assert wrong == []
