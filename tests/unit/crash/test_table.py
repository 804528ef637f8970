"""Rows in columns: the same rows come back, and what is no such thing is refused."""

import json
from collections import Counter
from typing import Any

import pytest

from harness.crash.results.results import Point, loss_at
from harness.crash.results.table import ResultTable, runs, steps
from harness.crash.states.cut import parse
from harness.judge.verdict import Verdict

OLD, NEW = {Verdict.OLD: 3}, {Verdict.NEW: 2, Verdict.OLD: 1}
ROWS = [
    Point(at=4, verdicts=OLD, worst="old", loss="none"),
    Point(at=5, verdicts=OLD, undecided=2, worst="old", loss="none"),
    Point(at=9, verdicts=NEW, booted=1, worst="new", loss="torn:8:1"),
]


def test_run_lengths() -> None:
    assert runs([5, 5, 5, 2]) == [5, 3, 2, 1]
    assert steps([7, 8, 9, 9]) == [7, 1, 1, 2, 0, 1]
    assert runs([]) == steps([]) == []


@pytest.mark.parametrize("rows", [ROWS, []])
def test_the_same_rows_come_back(rows: list[Point]) -> None:
    made = ResultTable(Point, rows)
    found = ResultTable.read(Point, json.loads(json.dumps(made.data())), len(rows))
    assert found == made
    assert list(found) == found[:] == rows == [found[n] for n in range(len(found))]
    assert list(found.column("undecided")) == [row.undecided for row in rows]
    counted = Counter({str(value): count for value, count in found.counted("verdicts")})
    assert counted == Counter(str(row.verdicts) for row in rows)


@pytest.mark.parametrize(
    "state", ["7/all", "7/torn:6:1", "3/all", "7/without:5>4/torn:3:1", "3/all>7/all"]
)
def test_a_point_knows_its_worst_state(state: str) -> None:
    assert Point(at=7, verdicts=OLD, loss=loss_at(7, parse(state))).state == state


def test_half_a_million_rows_are_a_few_numbers() -> None:
    made = ResultTable(Point, (Point(at=at, verdicts=OLD, loss="all") for at in range(500_000)))
    assert len(json.dumps(made.data())) < 500


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"at": [4, 1, 1]}, "column at: a run without its length"),
        ({"at": [4, 0, 1, 2]}, "column at: a run of 0"),
        ({"at": [4, 1]}, "not equally long"),
        ({"at": [0, 10**10]}, "column at: more than 100 rows"),
        ({"worst": {"values": ["old"], "runs": [0, 101]}}, "column worst: more than 100 rows"),
        ({"at": [4, True, 1, 2]}, "column at: is no list of whole numbers"),
        ({"at": "4"}, "column at: "),
        ({"worst": {"values": ["old"], "runs": [0, 2, 1, 1]}}, "column worst: a run of no value"),
        (
            {"worst": {"values": [7], "runs": [0, 3]}},
            "column worst: Input should be a valid string",
        ),
        ({"verdicts": {"values": [{"fine": 1}], "runs": [0, 3]}}, "column verdicts: "),
        ({"more": []}, "wants the columns at, verdicts, undecided, booted, worst, loss"),
    ],
)
def test_what_is_no_table_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ResultTable.read(Point, {**ResultTable(Point, ROWS).data(), **change}, 100)
