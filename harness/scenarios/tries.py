"""A scenario that ended in trouble of the lab is tried again, with its board opened anew.

An exporter, a coordinator or a relay that dies in the middle says nothing about the product, and is
often back soon. So all that a worker holds open (board, place, servers) is closed and opened again,
and the scenario begins once more, from flashing on. Its record then tells of the tries before. A
failure of the device is never tried again, nor is what was interrupted, or what is a bug. A lab
that stays broken ends as it is: after a retry in vain there is no other one until a scenario has
come to its end, and where the board cannot be opened any more, what follows is left out.
"""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from _pytest.runner import call_and_report

from harness import errors
from harness.errors import HarnessError, LabError
from harness.evidence.record import Outcome, Try
from harness.log import emit
from harness.plain import one_line
from harness.scenarios.invocation import TRIES

RECORDS = pytest.StashKey[list[dict[str, Any]]]()  # of a test: what this try has left
EARLIER = pytest.StashKey[tuple[Try, ...]]()  # of a test: the tries before this one
_LEFT = pytest.StashKey[list[dict[str, Any]]]()  # of a test: what the try before has left
_IN_VAIN = pytest.StashKey[bool]()  # of a worker
_BROKEN = pytest.StashKey[str]()  # of a worker: why its board cannot be opened any more
# Seconds before each attempt to open a board again: exporters and coordinators that are started
# again are there in a few.
_PAUSES = (0.0, 5.0, 15.0, 30.0)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `harness test` passes on."""
    told = "how often a scenario may be begun that ends in trouble of the lab"
    parser.getgroup("harness").addoption("--tries", type=int, default=TRIES, help=told)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """In place of pytest's own: the same for a scenario that is begun once."""
    where: dict[str, Any] = {"nodeid": item.nodeid, "location": item.location}
    item.ihook.pytest_runtest_logstart(**where)
    in_vain = item.config.stash.get(_IN_VAIN, False)
    left = 0 if in_vain else item.config.getoption("--tries") - 1
    while _once(item, nextitem, last=left < 1):
        left -= 1
    item.ihook.pytest_runtest_logfinish(**where)
    return True


def _once(item: pytest.Item, nextitem: pytest.Item | None, *, last: bool) -> bool:
    """One try; True when there must be another one. Else its reports are told."""
    reports = [_set_up(item)]
    if reports[0].passed:
        reports.append(_phase(item, "call"))
    elif told := _error(reports[0]):
        _note_broken(item, reports[0], told)
    why = _trouble(item, reports[-1])
    if why and not last:
        closed = _phase(item, "teardown", nextitem=None)
        if closed.passed or isinstance(_error(closed), LabError):
            _note(item, reports[-1], why)
            return True
        reports.append(closed)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    if reports[-1].when != "teardown":
        stops = item.session.shouldfail or item.session.shouldstop
        ended = _phase(item, "teardown", nextitem=None if stops else nextitem)
        item.ihook.pytest_runtest_logreport(report=ended)
    item.config.stash[_IN_VAIN] = bool(why) or _BROKEN in item.config.stash
    return False


def _set_up(item: pytest.Item) -> pytest.TestReport:
    """Set up; of a board that is opened again what keeps it from that is waited for a little. Also
    a lab file that has become wrong: without an exporter it names resources that there are not."""
    *pauses, last = _PAUSES if item.stash.get(EARLIER, ()) else _PAUSES[:1]
    for pause in pauses:
        threading.Event().wait(pause)
        report = _phase(item, "setup")
        if not _error(report):
            return report
        _phase(item, "teardown", nextitem=None)
    threading.Event().wait(last)
    return _phase(item, "setup")


def _phase(item: pytest.Item, when: Any, **more: Any) -> pytest.TestReport:
    """One phase, and its report, which is told by nobody yet. Raises what interrupts it."""
    function: Any = item
    if when == "setup" and not function._request:  # pytest takes it away after a teardown
        function._initrequest()
    report: pytest.TestReport = call_and_report(item, when, log=False, **more)
    if when == "teardown":
        function._request, function.funcargs = False, None
    return report


def _error(report: pytest.TestReport) -> HarnessError | None:
    """What it ended with, if that is no bug."""
    told: dict[str, str] | None = getattr(report, "harness_error", None)
    return None if told is None else errors.of_data(told)


def _trouble(item: pytest.Item, report: pytest.TestReport) -> str:
    """Which trouble of the lab a scenario ended in; empty where it ended otherwise, or had not
    begun."""
    error = _error(report)
    if report.when != "call" or (report.failed and error is None):
        return ""
    records = item.stash.get(RECORDS, [])
    if not records:
        return error.brief if isinstance(error, LabError) else ""
    if any(each["outcome"] != Outcome.LAB_ERROR for each in records):
        return ""
    return str(records[-1]["error"])


def _note(item: pytest.Item, report: pytest.TestReport, why: str) -> None:
    """Keep what a try has left for the record of the next one."""
    records = item.stash.get(RECORDS, [])
    earlier = Try(
        error=why,
        started=datetime.fromtimestamp(report.start, UTC),
        finished=datetime.fromtimestamp(report.stop, UTC),
        console_logs=tuple(log for each in records for log in each["console_logs"]),
        timeline=tuple(mark for each in records for mark in each["timeline"]),
    )
    item.stash[EARLIER] = (*item.stash.get(EARLIER, ()), earlier)
    item.stash[_LEFT], item.stash[RECORDS] = records, []
    emit("try again", scenario=item.name, why=one_line(why))


def _note_broken(item: pytest.Item, report: pytest.TestReport, error: HarnessError) -> None:
    """A board that cannot be opened again. The scenario that was to be tried again leaves the
    record of the try before; the others, which have none, are left out."""
    config, why = item.config, error.brief
    if left := item.stash.get(_LEFT, []):
        config.stash[_BROKEN] = why
        told = f"{left[-1]['error']}\nand it could not be tried again: {why}"
        vars(report)["harness_records"] = [{**each, "error": told} for each in left]
    elif why := config.stash.get(_BROKEN, ""):
        vars(report)["harness_left_out"] = f"the board could not be opened again: {why}"
