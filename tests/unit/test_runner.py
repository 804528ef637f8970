"""What the runner relies on, and what it makes of pytest's reports."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.errors import ConfigurationError
from harness.evidence.store import Run
from harness.process import run
from harness.runner import WORKERS, Recorder, Releases
from tests.unit.evidence.samples import ARTIFACT, make_release

GROUPED = """
import os, pathlib, pytest

@pytest.mark.parametrize("case", [
    pytest.param((group, loss), id=f"{group}/{loss}", marks=pytest.mark.xdist_group(group))
    for group in ("write:50%", "switch", "commit") for loss in ("none", "all", "torn")
])
def test_case(case):
    worker = os.environ["PYTEST_XDIST_WORKER"]
    pathlib.Path(__file__).with_name(f"{case[0].replace('%', '')}.{worker}").touch()
"""


def test_a_group_stays_on_one_worker(tmp_path: Path) -> None:
    """Losses share the instant of their phase only if xdist's groups work with this pytest."""
    (tmp_path / "test_grouped.py").write_text(GROUPED)
    words = ["-m", "pytest", "-q", "-n", "2", *WORKERS, "-p", "no:cacheprovider"]
    run([sys.executable, *words, tmp_path], timeout=60, cwd=tmp_path)
    workers = [path.name for path in tmp_path.glob("*.gw*")]
    assert len(workers) == 3, workers


DYING = """
import os, pytest

@pytest.mark.parametrize("number", range(4))
def test_case(number):
    if number == 1:
        os._exit(3)
"""


def test_a_worker_that_dies_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_dying.py").write_text(DYING)
    words = ["-m", "pytest", "-q", "-n", "1", *WORKERS, "-p", "no:cacheprovider"]
    done = run([sys.executable, *words, tmp_path], timeout=60, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "crashed while running" in done.stdout


class Kept:
    """A run that keeps nothing on disk."""

    def __init__(self) -> None:
        self.records: list[object] = []

    def add(self, record: object) -> None:
        self.records.append(record)


def recorded(outcome: str, *data: dict[str, object]) -> Recorder:
    recorder = Recorder(cast(Run, Kept()))
    report = SimpleNamespace(
        failed=outcome == "failed", nodeid="test_x", when="call", harness_records=list(data)
    )
    recorder.pytest_runtest_logreport(cast(pytest.TestReport, report))
    return recorder


def test_a_failed_test_without_a_failed_record_is_unexplained() -> None:
    """A negative control that is not caught, or a bug: nothing may be signed then."""
    assert recorded("failed").unexplained == ["test_x (call)"]
    assert recorded("passed").unexplained == []


def test_a_scenario_that_does_not_exist_is_told_at_once(tmp_path: Path) -> None:
    """In a process of its own: labgrid's plugin does not bear a pytest within pytest."""
    words = ["test", tmp_path, "--from", tmp_path, "--board", "gateway-qemu"]
    words += ["--scenario", "no-such[scenario]"]
    start = "from harness.cli import main; main()"
    done = run([sys.executable, "-c", start, *map(str, words)], timeout=60, check=False)
    assert done.returncode == 2
    assert "no such scenario: no-such[scenario]" in done.stderr


def _put_back(file: Path) -> None:
    """Another content, then the old one under the old time."""
    old, seen = file.read_bytes(), file.stat()
    file.write_bytes(b"another")
    file.write_bytes(old)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(b"another"),
        lambda file: file.unlink(),
        lambda file: shutil.copy(file, file.with_name("x")) and file.with_name("x").replace(file),
        _put_back,
    ],
)
@pytest.mark.parametrize("name", [ARTIFACT, "disk.img", "release.json"])
def test_a_release_that_changes_during_a_run_is_not_signed_for(
    tmp_path: Path, change: Callable[[Path], object], name: str
) -> None:
    make_release(tmp_path / "old", version="1.0.0")
    subject = make_release(tmp_path / "new")
    releases = Releases(tmp_path / "new", tmp_path / "old")
    assert releases.subjects[0] == subject
    releases.require_same(tmp_path)  # control: nothing has changed yet
    change(tmp_path / "new" / name)
    with pytest.raises(ConfigurationError, match="harness test") as refused:
        releases.require_same(tmp_path)
    assert f"new/{name}: was written or replaced" in refused.value.details
    assert "nothing was signed" in refused.value.hint


def _folder_put_back(release: Path) -> None:
    """Another release in its place, then the old one again."""
    release.rename(release.with_name("kept"))
    make_release(release, content="another")
    release.rename(release.with_name("another"))
    release.with_name("kept").rename(release)


def _link_put_back(release: Path) -> None:
    link = release / "disk.img"
    target = link.readlink()
    for where in (release / "release.json", target):
        link.unlink()
        link.symlink_to(where)


@pytest.mark.parametrize("change", [_folder_put_back, _link_put_back])
def test_a_release_that_is_put_back_is_not_signed_for(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    make_release(tmp_path / "old", version="1.0.0")
    release = tmp_path / "new"
    make_release(release)
    (release / "disk.img").rename(tmp_path / "disk.img")
    (release / "disk.img").symlink_to(tmp_path / "disk.img")
    releases = Releases(release, tmp_path / "old")
    releases.require_same(tmp_path)
    change(release)
    with pytest.raises(ConfigurationError, match="harness test") as refused:
        releases.require_same(tmp_path)
    assert "was written or replaced" in refused.value.details
