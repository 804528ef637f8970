"""Which scenarios are collected, and what is said of those that are not."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.scenarios.invocation import PLUGINS, SETTINGS
from harness.scenarios.naming import SUITE
from tests.unit.evidence.samples import make_release

ROOT = Path(__file__).parents[2]
COLLECT = """
import json, pytest, sys
from harness.scenarios.collection import Collected
collected = Collected()
code = pytest.main(sys.argv[1:], plugins=[collected])
print(json.dumps([code, collected.left_out]))
"""
OWN = """
import pytest

@pytest.mark.ci()
def test_own(bench): ...

@pytest.mark.ci()
@pytest.mark.needs("watchdog", "clock")
def test_watched(bench): ...

@pytest.mark.ci()
@pytest.mark.variants("kernel-panic", "no-such")
def test_panic(bench): ...

def test_of_the_night(bench): ...
"""


def collect(tmp_path: Path, *words: str) -> tuple[int, dict[str, str], str]:
    """Exit code, what was left out, and all that pytest said."""
    release = tmp_path / "release"
    if not release.exists():
        make_release(release)
    settings = ("-c", SETTINGS, "--rootdir", tmp_path, "-p", PLUGINS[-1], "-p", "no:cacheprovider")
    lab = ("--lab", ROOT / "labs/qemu.yaml", "--release", release)
    argv: list[str | Path] = [*settings, "--noconftest", "--collect-only", "-q", *lab]
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, *argv, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    said, _, answer = done.stdout.strip().rpartition("\n")
    code, left_out = json.loads(answer)
    return code, left_out, said + done.stderr


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/test_mine.py").write_text(OWN)
    return str(tmp_path / "mine")


def test_what_is_lacking_is_told(tmp_path: Path, own: str) -> None:
    code, left_out, said = collect(tmp_path, own, "--tier", "ci", "--board", "rpi4-qemu")
    assert (code, left_out) == (5, {})  # of a slow board, only what is marked for one
    code, left_out, said = collect(tmp_path, own, "--tier", "all", "--board", "rpi4-qemu")
    assert code == 0
    assert "::test_own" in said and "::test_of_the_night" in said
    assert left_out == {
        "watched": "the board has no clock and no watchdog",
        "panic": "the product has no variant no-such",
    }


def test_a_product_whose_builder_makes_no_more_is_still_tested(tmp_path: Path, own: str) -> None:
    """What takes another build of it is left out; a control that cannot be had is absent."""
    make_release(tmp_path / "release", machine="nowhere")
    code, left_out, said = collect(tmp_path, str(SUITE), "--tier", "all", "--board", "gateway-qemu")
    why = "the product's recipe is not here: images/nowhere"
    assert code == 0
    for name in ("bad-update[kernel-panic]", "refused-update[signed-by-stranger]", "walk[cover:1]"):
        assert left_out[name] == why
    controls = {name for name in left_out if name.startswith(("negative-control[", "crash["))}
    told = {left_out[name] for name in controls}
    assert f"control absent: {why}" in told
    assert all(each.startswith("control absent: ") for each in told)
    assert len({name.partition("[")[0] for name in controls}) == 2
    for name in ("::test_update", "::test_power_cut", "::test_refused_update[truncated]"):
        assert name in said


def test_an_ability_that_there_is_not_is_refused(tmp_path: Path, own: str) -> None:
    Path(own, "test_more.py").write_text(
        "import pytest\n@pytest.mark.builds('castles')\ndef test_x(bench): ...\n"
    )
    code, _, said = collect(tmp_path, own, "--board", "gateway-qemu")
    assert code == 4
    assert "builds: there is no ability 'castles'" in said


def test_what_is_asked_for_and_lacking_ends_it(tmp_path: Path, own: str) -> None:
    words = ("--scenario", "watched", "--scenario", "nothing", "--board", "rpi4-qemu")
    code, _, said = collect(tmp_path, own, *words)
    assert code == 4
    assert "no such scenario: nothing; watched: the board has no clock and no watchdog" in said


def test_what_a_board_cannot_do_is_left_out(tmp_path: Path, own: str) -> None:
    """A board behind a mux has no capability but its medium: of ours remains what needs no more."""
    words = ("--board", "gateway-rack-1", "--lab", str(ROOT / "labs/rack.yaml"))
    code, left_out, said = collect(tmp_path, str(SUITE), *words)
    assert code == 0
    assert "::test_update" in said and "::test_refused_update[truncated]" in said
    lacking = "the board has no choose-loss and no cut-at-write and no save"
    assert left_out["power-cut[switch/all]"] == lacking
    assert left_out["trial[link-down]"] == "the board has no link"
    assert "trial[portal]" not in left_out


@pytest.mark.parametrize(
    ("scenario", "lacking"),
    [
        ("walk[update,cut/all]", "choose-loss"),
        ("walk[update,reboot,cut-writing/all]", "choose-loss and no cut-at-write"),
        ("walk[update,reboot]", ""),
        ("faults[link-down@10:1s]", "link"),
        ("faults[eio-write@medium+reset@9]", "medium-fail"),
        ("faults[reset@9+server:portalx3]", ""),
    ],
)
def test_what_is_asked_for_needs_what_it_names(tmp_path: Path, scenario: str, lacking: str) -> None:
    words = ("--board", "gateway-rack-1", "--lab", str(ROOT / "labs/rack.yaml"))
    _, _, said = collect(tmp_path, str(SUITE), *words, "--scenario", scenario)
    found = re.findall(r": the board has no (.*)", said)
    assert found == ([lacking] if lacking else [])


def test_what_is_asked_for_twice_is_asked_for_once(tmp_path: Path) -> None:
    twice = ["--scenario", "faults[reset@9]"] * 2
    code, _, said = collect(tmp_path, str(SUITE), "--board", "gateway-qemu", *twice)
    assert (code, said.count("::test_faults[reset@9]")) == (0, 1), said


def test_a_need_that_no_board_can_fill_is_refused(tmp_path: Path, own: str) -> None:
    """Also of a test that nobody asks for: it would be left out for ever."""
    text = "import pytest\n@pytest.mark.needs('medium-raed')\ndef test_typed(bench): ...\n"
    Path(own, "test_more.py").write_text(text)
    code, _, said = collect(tmp_path, own, "--tier", "ci", "--board", "gateway-qemu")
    assert code == 4
    assert "test_more.py: needs('medium-raed'): is none of medium-read, " in said


def test_two_scenarios_of_one_name_are_refused(tmp_path: Path, own: str) -> None:
    Path(own, "test_update.py").write_text("def test_update(bench): ...\n")
    code, _, said = collect(tmp_path, own, str(SUITE), "--board", "gateway-qemu")
    assert code == 4
    assert f"update is in both {own}/test_update.py and {SUITE}/test_update.py" in said


@pytest.mark.parametrize("name", ["test_negative_control", "test_crash", "test_correct_product"])
def test_what_only_the_harness_can_show_is_no_name_for_others(
    tmp_path: Path, own: str, name: str
) -> None:
    Path(own, "test_more.py").write_text(f"def {name}(bench): ...\n")
    code, _, said = collect(tmp_path, own, "--board", "gateway-qemu")
    assert code == 4
    assert "test_more.py: is a name of the harness's own" in said


def test_a_pattern_of_a_policy_is_about_the_harnesss_own(tmp_path: Path, own: str) -> None:
    """`power-cut[*]` in a policy asks for ours: nobody else's may count there."""
    text = (
        "import pytest\n@pytest.mark.parametrize('case', ['mine'])\ndef test_power_cut(case): ..."
    )
    Path(own, "test_more.py").write_text(text)
    code, _, said = collect(tmp_path, own, str(SUITE), "--board", "gateway-qemu")
    assert code == 4
    assert "power-cut[mine] in" in said and "is a name of the harness's own" in said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("releases", "@pytest.fixture\ndef releases(): ...\ndef test_x(releases): ..."),
        ("worker_id", "@pytest.fixture\ndef worker_id(): ...\ndef test_x(bench): ..."),
        ("bench", "@pytest.mark.parametrize('bench', [1])\ndef test_x(bench): ..."),
    ],
)
def test_nobody_replaces_what_a_record_rests_on(
    tmp_path: Path, own: str, name: str, text: str
) -> None:
    Path(own, "test_more.py").write_text(f"import pytest\n{text}\n")
    code, _, said = collect(tmp_path, own, "--board", "gateway-qemu")
    assert code == 4
    assert f"test_more.py: fixture {name}: is the harness's own" in said


def test_two_of_one_name_in_one_file_are_refused(tmp_path: Path, own: str) -> None:
    twice = "class Test{}:\n    def test_twice(self, bench): ...\n"
    Path(own, "test_more.py").write_text(twice.format("A") + twice.format("B"))
    code, _, said = collect(tmp_path, own, "--board", "gateway-qemu")
    assert code == 4
    assert "twice is in both" in said and "::TestA and" in said


def test_every_mark_counts(tmp_path: Path, own: str) -> None:
    marks = "@pytest.mark.needs('clock')\n@pytest.mark.needs('watchdog')\n"
    text = f"import pytest\n{marks}def test_marked(bench): ...\n"
    Path(own, "test_more.py").write_text(text)
    _, left_out, _ = collect(tmp_path, own, "--board", "rpi4-qemu")
    assert left_out["marked"] == "the board has no clock and no watchdog"
    Path(own, "test_more.py").write_text(text.replace("'clock'", "['clock']"))
    code, _, said = collect(tmp_path, own, "--board", "rpi4-qemu")
    assert code == 4 and "needs(['clock']): takes names" in said


def test_a_products_own_settings_say_nothing(tmp_path: Path, own: str) -> None:
    """Nor has its `tests` package anything to do with ours."""
    for name in ("pytest.ini", "mine/pytest.ini"):
        (tmp_path / name).write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/__init__.py").write_text("raise RuntimeError\n")
    code, _, said = collect(tmp_path, own, str(SUITE), "--board", "gateway-qemu")
    assert code == 0
    assert "::test_own" in said and "::test_power_cut[switch/all]" in said
