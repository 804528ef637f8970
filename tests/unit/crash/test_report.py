import html.parser
import io
import json
from pathlib import Path
from typing import Any

import pytest
import rich.console

from harness.crash.results import report
from harness.crash.results.results import load
from harness.crash.results.strip import replay_command, strip
from harness.errors import ConfigurationError
from harness.judge.verdict import Verdict
from tests.unit.crash.samples import START, disagreeing, results, write_run

VOID = {"meta", "br"}


class Page(html.parser.HTMLParser):
    """Text (scripts apart), links and unclosed tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def page_of(folder: Path, content: dict[str, Any]) -> Page:
    return Page(report.write(write_run(folder / "run", content)).read_text())


def unroll(column: list[int]) -> list[int]:
    pairs = zip(column[::2], column[1::2], strict=True)
    return [value for value, count in pairs for _ in range(count)]


def test_a_good_exploration(tmp_path: Path) -> None:
    page = page_of(tmp_path, results())
    found = load(tmp_path / "run")
    total = found.counts.cut_points
    assert found.good
    assert page.open == []
    assert page.links == []
    assert f"0 bricked, 0 inconsistent of {total:,} cut points" in page.text
    assert f"Exhaustive: {total - 40:,} cut points, 0 undecided; " in page.text
    assert "; and 40 mixtures of more writes, which are a sample of all" in page.text
    assert "1,000 with one write lost, or kept, alone: each;" in page.text
    assert "are equal in content to a state that was booted" in page.text
    assert "Bad states" not in page.text
    assert "Disagreements" not in page.text


def test_bad_states_have_reason_write_and_replay(tmp_path: Path) -> None:
    content = results(bad=True)
    page = page_of(tmp_path, content)
    found = load(tmp_path / "run")
    assert not found.good
    assert found.exhaustive  # all is known, and some of it is bad
    assert "4 bricked, 1 inconsistent of" in page.text
    first = found.bad[0]
    at, loss = first.state.split("/")
    assert f"{replay_command(tmp_path / 'run', first.state)}" in page.text
    assert f"--at {at} --loss {loss}" in page.text
    assert "no sign of health in boot 6" in page.text
    assert f"lost: record {int(loss.removeprefix('without:')):,}: grubenv copy" in page.text


def missing(content: dict[str, Any]) -> dict[str, Any]:
    """Two boots of second cuts are still to be made."""
    content["counts"]["nested"]["missing"] = 2
    return {**content, "complete": False}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({**results(), "complete": False}, "ended before it was complete"),
        (disagreeing(results(), "new new"), "1 states came out otherwise"),
        (results(open_end=True), "4,233 cut points are undecided"),
        (missing(results()), "2 boots of second cuts are missing"),
    ],
)
def test_exhaustive_is_only_said_when_it_is_true(
    tmp_path: Path, content: dict[str, Any], problem: str
) -> None:
    page = page_of(tmp_path, content)
    assert problem in page.text
    assert "Not exhaustive: " in page.text
    assert "Exhaustive" not in page.text
    assert not load(tmp_path / "run").good


def test_disagreements_are_shown_from_both_sides(tmp_path: Path) -> None:
    content = disagreeing(results(), "bricked")
    [told] = content["disagreements"]
    told["state"] = state = "99/none>5/only:3"
    told["why"] = ["healthy: <b>silence</b>"]
    page = page_of(tmp_path, content)
    assert "proof 00000" in page.text
    assert "proof 00018" in page.text
    assert "healthy: <b>silence</b>" in page.text  # escaped
    assert f"--state '{state}'" in page.text


def test_the_drawing_gets_all_positions(tmp_path: Path) -> None:
    content = results(2000, bad=True)
    page = page_of(tmp_path, content)
    data = json.loads(page.scripts[0])
    points = data["points"]
    rows = [points["rows"][number] for number in unroll(points["row"])]
    shades = [data["shades"][row[0]] for row in rows]
    assert shades == [point["worst"] for point in content["points"]]
    assert sum(row[1 + list(Verdict).index(Verdict.BRICKED)] for row in rows) == 4
    assert len(unroll(data["writes"]["position"])) == 2001
    assert unroll(points["at"])[0] == START + 1
    assert len(json.dumps(data)) < 100_000
    assert "http" not in page.scripts[1]


def test_text_cannot_end_the_script(tmp_path: Path) -> None:
    content = results()
    content["writes"][3]["structure"] = "</script><b>"
    assert page_of(tmp_path, content).open == []


def test_losses_are_told_relative_to_the_cut(tmp_path: Path) -> None:
    """Else each of 250,000 positions had a text of its own."""
    content = results()
    for point in content["points"]:
        point["loss"] = f"torn:{point['at'] - 1}:1"
    content["points"][7]["loss"] = "3/all>4/none"
    found = strip(load(write_run(tmp_path, content)), tmp_path)["points"]
    assert found["losses"] == ["torn:@1:1", "=3/all>4/none"]


def test_results_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="harness crash explore"):
        report.write(tmp_path)
    with pytest.raises(ConfigurationError, match="schema 1 is not known, 3 is"):
        report.write(write_run(tmp_path, {"schema": 1}))
    with pytest.raises(ConfigurationError, match=r"counts\.booted"):
        content = results()
        del content["counts"]["booted"]
        report.write(write_run(tmp_path, content))
    assert not (tmp_path / report.FILE).exists()


def test_the_terminal_has_the_same_numbers(tmp_path: Path) -> None:
    found = load(write_run(tmp_path, results(open_end=True)))
    stream = io.StringIO()
    rich.console.Console(file=stream, width=120).print(report.summary(found))
    told = stream.getvalue()
    assert f"{found.counts.undecided:,}" in told
    assert "Not exhaustive" in told
    assert "not proven: the exploration was ended before it was complete" in told


def test_sizes() -> None:
    assert [report.size(n) for n in (512, 4096, 1536, 3 << 20)] == [
        "512 bytes",
        "4 KiB",
        "1,536 bytes",
        "3 MiB",
    ]
