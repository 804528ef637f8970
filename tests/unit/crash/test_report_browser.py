"""The report in a real browser: colours are where the verdicts are, hover, click and zoom work."""

import json
import os
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from harness.crash.results import report
from tests.unit.crash.browser import PROGRAM, Page, with_page
from tests.unit.crash.samples import START, results, write_run

pytestmark = pytest.mark.skipif(
    not PROGRAM and not os.environ.get("CI"), reason="needs package chromium"
)

POSITIONS = 20_000
OLD, NEW, BRICKED, UNDECIDED = (86, 180, 233), (0, 158, 115), (213, 94, 0), (196, 200, 204)
# Where on the page a log position is drawn, and the colours of a column of the strip.
HELPERS = """
const box = () => document.getElementById("strip").getBoundingClientRect();
const pageX = (position) => box().left + xOf(firstAt(position) + 0.5);
const pageY = () => box().top + 100;
const colour = (x, y) => [...document.getElementById("strip").getContext("2d")
  .getImageData(Math.round(x), y, 1, 1).data].slice(0, 3);
"""

Color = tuple[int, ...]


async def colour(page: Page, position: int, *, y: int = 100) -> Color:
    return tuple(await page.run(f"colour(xOf(firstAt({position}) + 0.5), {y})"))


async def place(page: Page, position: int) -> tuple[float, float]:
    return await page.run(f"pageX({position})"), await page.run("pageY()")


async def text(page: Page, name: str) -> str:
    return str(await page.run(f"document.getElementById('{name}').textContent"))


def check(folder: Path, content: dict[str, object], use: Callable[[Page], Awaitable[None]]) -> None:
    """Open the report of these results, let `use` look at it; nothing may be loaded or fail."""
    run = write_run(folder / "run", content)
    file = report.write(run)

    async def opened(page: Page) -> None:
        await page.open(file)
        await page.run(HELPERS)
        await use(page)
        await page.screenshot(folder / "report.png")
        assert page.requests == [file.resolve().as_uri()]
        assert page.errors == []

    with_page(folder, (1000, 900), opened)


def test_bad_states_are_seen_pointed_at_and_replayed(tmp_path: Path) -> None:
    content = results(POSITIONS, bad=True)
    bricked = [bad["at"] for bad in content["bad"] if bad["verdict"] == "bricked"]
    loss = next(bad["state"] for bad in content["bad"] if bad["at"] == bricked[0]).split("/")[1]

    async def look(page: Page) -> None:
        assert await colour(page, START + POSITIONS // 4) == OLD
        assert await colour(page, START + POSITIONS * 3 // 4) == NEW
        assert await colour(page, bricked[0]) == BRICKED  # one position of 20 in this pixel
        assert await colour(page, bricked[0], y=137) == BRICKED  # its mark below

        await page.mouse("mouseMoved", *await place(page, bricked[0]))
        shown = await text(page, "hover")
        assert f"Cut at {bricked[0]:,} in switch" in shown
        assert "2 bricked" in shown
        assert "grubenv copy" in shown
        assert "the worst of" in shown

        await page.click(*await place(page, START + POSITIONS // 4))
        assert "2 bricked" not in await text(page, "hover")
        await page.click(*await place(page, bricked[0]))
        for word in ("torn:1230:3", "a'b; $(c) `d`", "", "ü", "1/x>2/y"):
            assert await page.run(f"quoted({json.dumps(word)})") == shlex.quote(word)
        command = f"./run harness crash replay {(tmp_path / 'run').resolve()}"
        assert await text(page, "replay") == f"{command} --at {bricked[0]} --loss {loss}"

    check(tmp_path, content, look)


def test_zooming_in_shows_single_positions(tmp_path: Path) -> None:
    content = results(POSITIONS, bad=True)
    first, second = (bad["at"] for bad in content["bad"] if bad["verdict"] == "bricked")

    async def look(page: Page) -> None:
        x, y = await place(page, first)
        await page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-100)
        assert await page.run("view[1] - view[0]") == pytest.approx(POSITIONS * 0.8)
        await page.drag(x - 5, x + 5, y)
        shown = await page.run("view[1] - view[0]")
        assert 12 <= shown < 300
        assert await colour(page, first) == BRICKED
        assert await colour(page, second) == BRICKED
        assert await colour(page, first - 2) == OLD
        assert await page.run(f"xOf(firstAt({second})) - xOf(firstAt({first}))") > 3
        await page.mouse("mouseMoved", *await place(page, second))
        assert f"Cut at {second:,} " in await text(page, "hover")
        assert "the worst of" not in await text(page, "hover")
        await page.run("document.getElementById('all').click()")
        assert await page.run("view") == [0, POSITIONS]

    check(tmp_path, content, look)


def test_what_is_undecided_is_grey(tmp_path: Path) -> None:
    async def look(page: Page) -> None:
        x, y = await place(page, START + POSITIONS * 3 // 4)
        seen = {tuple(await page.run(f"colour({x} - box().left + {n}, 100)")) for n in range(8)}
        assert UNDECIDED in seen
        assert await colour(page, START + POSITIONS // 4) == OLD
        await page.click(x, y)
        assert "undecided" in await text(page, "hover")
        assert (await text(page, "replay")).endswith(" --loss none")
        assert "undecided of" in await text(page, "headline")
        assert "Not exhaustive" in await text(page, "coverage")

    check(tmp_path, results(POSITIONS, open_end=True), look)
