"""A scenario that the lab broke is begun again, on a board that is opened anew; nothing else is."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

SUITE = """
import json, os, pathlib
import pytest
from harness import errors
from harness.boards.board import Board
from harness.errors import DeviceError, LabError
from harness.judge.trouble import lab_trouble
from harness.judge.verdict import Judgement, Verdict
from harness.scenarios.scenario import Scenario
from harness.scenarios.tries import EARLIER, RECORDS
from tests.unit.boards.fake import FakeBoard

GOOD = Judgement(verdict=Verdict.NEW, final="new", boots=1, invariants=())
HERE = pathlib.Path(__file__).parent

def note(what):
    with (HERE / "noted").open("a") as file:
        file.write(what + "\\n")

class FakeBench:
    def __init__(self):
        self.board = FakeBoard()
    def trouble(self, problem):
        return None

@pytest.fixture(scope="session")
def bench():
    note("open")
    broken = HERE / "broken"
    if broken.exists():
        count = int(broken.read_text())
        broken.write_text(str(count - 1))
        if count > 0:
            raise LabError("place desk is gone")
    yield FakeBench()
    note("close")

@pytest.fixture
def scenario(request, bench):
    records = request.node.stash.setdefault(RECORDS, [])
    return Scenario(id=request.node.name.removeprefix("test_"), bench=bench, folder=HERE,
        keep=lambda record: records.append(record.to_data()), replay="again",
        earlier=request.node.stash.get(EARLIER, ()))

def first():
    marker = HERE / "been"
    if marker.exists():
        return False
    marker.touch()
    return True

"""
PLUGIN = """
import json, os, pathlib
import pytest
from harness import errors
from harness.errors import HarnessError
from harness.scenarios import tries
from harness.scenarios.tries import RECORDS

tries._PAUSES = json.loads(os.environ.get("PAUSES", "[0, 0.1, 0.1]"))

@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    vars(report)["harness_scenario"] = item.name.removeprefix("test_")
    if report.when == "call":
        vars(report)["harness_records"] = item.stash.get(RECORDS, [])
    if call.excinfo and isinstance(call.excinfo.value, HarnessError):
        vars(report)["harness_error"] = errors.to_data(call.excinfo.value)
    return report

class Told:
    def pytest_runtest_logreport(self, report):
        told = {key: value for key, value in vars(report).items() if key.startswith("harness_")}
        line = json.dumps({"name": report.nodeid.split("::")[1], "when": report.when,
            "outcome": report.outcome, **told})
        with pathlib.Path("told").open("a") as file:
            file.write(line + "\\n")

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Told())
"""


class Ran:
    """What a run of such scenarios has told and done."""

    def __init__(
        self,
        folder: Path,
        text: str,
        *words: str,
        workers: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        (folder / "test_some.py").write_text(SUITE + text)
        (folder / "told_plugin.py").write_text(PLUGIN)
        plugins = ("xdist.plugin", "harness.scenarios.tries", "told_plugin")
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "-c", "/dev/null"]
        command += [word for name in plugins for word in ("-p", name)]
        command += ["-p", "no:cacheprovider", "-p", "no:labgrid", "--rootdir", str(folder)]
        command += ["--basetemp", str(folder / "temp")]
        done = subprocess.run(
            [*command, *words, "test_some.py"],
            cwd=folder,
            env={
                "PYTHONPATH": f"{folder}:{Path.cwd()}",
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                **(env or {}),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (folder / "told").exists(), done.stdout + done.stderr
        self.said = done.stdout
        lines = (folder / "told").read_text().splitlines()
        self.reports: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.noted = (folder / "noted").read_text().split()

    def records(self, name: str) -> list[dict[str, Any]]:
        found = [each for each in self.reports if each["name"] == f"test_{name}"]
        return [record for each in found for record in each.get("harness_records", [])]

    def left_out(self, name: str) -> str:
        found = [each for each in self.reports if each["name"] == f"test_{name}"]
        return "".join(each.get("harness_left_out", "") for each in found)


UPDATE = """
def test_update(scenario):
    with scenario:
        if first():
            raise {error}
        scenario.conclude(GOOD, expected={{Verdict.NEW}})
    note("done")
"""
NEXT = """
def test_next(scenario):
    with scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_trouble_of_the_lab_is_tried_again_on_a_board_that_is_opened_anew(
    tmp_path: Path, workers: int
) -> None:
    text = UPDATE.format(error='LabError("exporter has gone")') + NEXT
    ran = Ran(tmp_path, text, workers=workers)
    [record] = ran.records("update")
    assert (record["outcome"], record["verdict"]) == ("passed", "new")
    [earlier] = record["earlier"]
    assert earlier["error"] == "exporter has gone"
    assert earlier["started"] <= earlier["finished"] <= record["started"]
    assert ran.noted == ["open", "close", "open", "done", "close"]
    [other] = ran.records("next")
    assert other["earlier"] == []
    assert "2 passed" in ran.said


@pytest.mark.parametrize(
    ("error", "outcome"),
    [('DeviceError("no health")', "failed"), ('ValueError("a bug")', None)],
)
def test_nothing_else_is(tmp_path: Path, error: str, outcome: str | None) -> None:
    """A failure of the device, and a bug."""
    ran = Ran(tmp_path, UPDATE.format(error=error))
    assert [each["outcome"] for each in ran.records("update")] == ([outcome] if outcome else [])
    assert ran.noted == ["open", "close"]
    assert "1 failed" in ran.said


def test_a_failure_that_was_seen_before_the_lab_broke_is_none_either(tmp_path: Path) -> None:
    text = """
def test_update(scenario):
    with scenario:
        scenario.must("slot-content", False, "half a version")
        raise LabError("exporter has gone")
"""
    ran = Ran(tmp_path, text)
    [record] = ran.records("update")
    assert record["outcome"] == "failed"
    assert ran.noted == ["open", "close"]


def test_an_interruption_is_none(tmp_path: Path) -> None:
    text = """
def test_update(scenario):
    with scenario:
        note("begun")
        if first():
            raise LabError("exporter has gone")
        raise KeyboardInterrupt
"""
    (tmp_path / "been").touch()
    (tmp_path / "told").touch()
    ran = Ran(tmp_path, text)
    assert ran.noted.count("begun") == 1


def test_how_often_is_asked_for(tmp_path: Path) -> None:
    ran = Ran(tmp_path, UPDATE.format(error='LabError("gone")'), "--tries", "1")
    [record] = ran.records("update")
    assert (record["outcome"], record["earlier"]) == ("lab-error", [])
    assert ran.noted == ["open", "close"]


ALWAYS = """
def test_update(scenario):
    with scenario:
        note("update")
        raise LabError("exporter has gone")

def test_second(scenario):
    with scenario:
        note("second")
        raise LabError("exporter has gone")

def test_third(scenario):
    with scenario:
        note("third")
        scenario.conclude(GOOD, expected={Verdict.NEW})

def test_fourth(scenario):
    with scenario:
        note("fourth")
        raise LabError("exporter has gone")
"""


def test_a_lab_that_stays_broken_is_tried_once_until_it_is_well(tmp_path: Path) -> None:
    ran = Ran(tmp_path, ALWAYS, "--tries", "3")
    assert [name for name in ran.noted if name not in ("open", "close")] == [
        *("update", "update", "update"),
        "second",
        "third",
        *("fourth", "fourth", "fourth"),
    ]
    [record] = ran.records("update")
    assert (record["outcome"], len(record["earlier"])) == ("lab-error", 2)


def test_a_board_that_is_back_a_little_later_is_waited_for(tmp_path: Path) -> None:
    text = UPDATE.format(error='(HERE / "broken").write_text("2") and LabError("gone")')
    ran = Ran(tmp_path, text)
    [record] = ran.records("update")
    assert (record["outcome"], len(record["earlier"])) == ("passed", 1)
    assert ran.noted == ["open", "close", "open", "open", "open", "done", "close"]


def test_where_it_cannot_be_opened_again_the_first_try_counts(tmp_path: Path) -> None:
    """And what follows is left out, at once: nothing that has passed loses its signature."""
    text = NEXT.replace("next", "before") + NEXT.replace("next", "z")
    text = text.replace(
        "def test_z",
        UPDATE.format(error='(HERE / "broken").write_text("99") and LabError("gone")').strip("\n")
        + "\n\ndef test_z",
    )
    ran = Ran(tmp_path, text)
    assert [each["outcome"] for each in ran.records("before")] == ["passed"]
    [record] = ran.records("update")
    assert record["outcome"] == "lab-error"
    assert record["error"] == "gone\nand it could not be tried again: place desk is gone"
    assert ran.records("z") == []
    assert ran.left_out("z") == "the board could not be opened again: place desk is gone"
    assert ran.noted == ["open", "close", "open", "open", "open"]


def test_a_record_of_a_control_is_tried_again_too(tmp_path: Path) -> None:
    """Its test passes with a record that has no verdict."""
    text = """
def test_update(scenario):
    scenario.control = True
    if not first():
        scenario.control = False
    with scenario:
        scenario.conclude(GOOD, expected={Verdict.NEW})
        scenario.injected(not scenario.control, "nothing was cut")
    if scenario.control:
        scenario.keep(scenario.record)
"""
    ran = Ran(tmp_path, text)
    [record] = ran.records("update")
    assert record["outcome"] == "passed"
    assert [each["error"] for each in record["earlier"]] == [
        "update: not injected: nothing was cut"
    ]
