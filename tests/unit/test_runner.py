"""What the runner relies on, and what it makes of pytest's reports."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness import errors
from harness.errors import ConfigurationError, HarnessError, LabError
from harness.evidence import signing
from harness.evidence.attachments import ENVELOPE_FILE, STATEMENT_FILE
from harness.evidence.store import EvidenceStore, Run, load
from harness.plugins import UsedPart
from harness.process import Completed, run
from harness.scenarios.invocation import WORKERS
from harness.scenarios.runner import (
    HashedReleases,
    RecordKeeper,
    require_ended,
    require_passed,
    require_same_parts,
)
from tests.unit.evidence.samples import ARTIFACT, finished_run, make_release, record
from tests.unit.promotion.conftest import commit, git

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

    folder = Path("run")

    def __init__(self) -> None:
        self.records: list[object] = []

    def add(self, record: object) -> None:
        self.records.append(record)


def recorded(outcome: str, *data: dict[str, object]) -> RecordKeeper:
    recorder = RecordKeeper(cast(Run, Kept()))
    report = SimpleNamespace(
        failed=outcome == "failed",
        skipped=outcome == "skipped",
        longrepr=("test_x.py", 1, "Skipped: no time"),
        nodeid="test_x",
        when="call",
        harness_scenario="x",
        harness_records=list(data),
    )
    recorder.pytest_runtest_logreport(cast(pytest.TestReport, report))
    return recorder


def test_a_failed_test_without_a_failed_record_is_unexplained() -> None:
    """A negative control that is not caught, or a bug: nothing may be signed then."""
    assert recorded("failed").unexplained == ["test_x (call)"]
    assert recorded("passed").unexplained == []


def test_what_ends_well_and_leaves_no_record_is_told() -> None:
    assert recorded("passed").without == {"x": "it leaves no record"}
    assert recorded("skipped").without == {"x": "Skipped: no time"}
    assert recorded("failed").without == {}
    assert recorded("passed", record("x").to_data()).without == {}


def test_a_record_of_another_scenario_is_none() -> None:
    recorder = recorded("passed", record("update").to_data())
    assert recorder.unexplained == ["test_x: left a record of update"]
    assert recorder.run.records == []


def test_what_did_not_run_is_told() -> None:
    """Though pytest says that all went well."""
    require_ended(pytest.ExitCode.OK, recorded("passed"), ["x"])
    with pytest.raises(HarnessError, match="y: did not run"):
        require_ended(pytest.ExitCode.OK, recorded("passed"), ["x", "y"])


ROOT = Path(__file__).parents[2]


def proven(
    folder: Path, *words: str, root: Path = ROOT, cwd: Path | None = None, **env: str
) -> Completed:
    """`harness test` of the checkout at `root`, with releases for GRUB. In a process of its own:
    labgrid's plugin does not bear a pytest within pytest."""
    for version in ("1.0.0", "1.1.0"):
        make_release(folder / version, version=version)
    argv: list[str | Path] = [
        "test",
        folder / "1.1.0",
        "--from",
        folder / "1.0.0",
        "--board",
        "gateway-qemu",
    ]
    argv += ["--lab", root / "labs/qemu.yaml", "--store", folder / "store", "--json", *words]
    start: list[str | Path] = [sys.executable, "-P", "-c", "from harness.cli import main; main()"]
    home = {"HARNESS_HOME": str(folder / "home"), "PYTHONPATH": str(root)}
    return run([*start, *argv], timeout=150, check=False, cwd=cwd or root, env={**home, **env})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--scenario", "no-such[scenario]"), "no such scenario: no-such[scenario]"),
        (("--all", "-k", "environment and not negative"), "on legacy-gateway (grub), boards gatew"),
    ],
)
def test_what_a_machine_does_not_have_is_told_at_once(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = proven(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert not (tmp_path / "store").exists()


FAKE_OPTIONS = """
import json, os, pytest
def pytest_addoption(parser):
    for name in ("release", "from-release", "board", "lab", "run-folder", "tier", "scenario"):
        parser.addoption(f"--{name}", action="append")
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    name = vars(report)["harness_scenario"] = item.name.removeprefix("test_").replace("_", "-")
    if report.when == "call":
        told = json.loads(os.environ["RECORDS"])
        vars(report)["harness_records"] = [each for each in told if each["scenario"] == name]
        if told := json.loads(os.environ.get("TOLD", "null")):
            vars(report)["harness_error"] = told
    return report
"""
FAKE_SCENARIO = """
import os, subprocess
def test_update():
    subprocess.run(os.environ.get("DOES", "true"), shell=True, check=True)
"""


@pytest.fixture(scope="module")
def own_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of its own, clean, whose scenario does what $DOES says in its folder, and whose
    records are $RECORDS."""
    root = tmp_path_factory.mktemp("own") / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("harness", "labs"):
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    for name in ("run", "harness.toml"):
        shutil.copy(ROOT / name, root)
    shutil.rmtree(root / "harness/scenarios/suite")
    (root / "harness/scenarios/suite").mkdir()
    (root / "harness/scenarios/plugin.py").write_text(FAKE_OPTIONS)
    (root / "harness/scenarios/suite/test_update.py").write_text(FAKE_SCENARIO)
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "init", "--quiet")
    commit(root, "all: begin")
    return root


def made_up(folder: Path, root: Path, *, cwd: Path | None = None, **env: str) -> Completed:
    names = ("update", "site")
    records = json.dumps([record(name, console_logs=()).to_data() for name in names])
    return proven(folder, root=root, cwd=cwd, **{"RECORDS": records, **env})


@pytest.mark.parametrize(
    ("does", "dirty"), [("true", False), ("echo '# edited' >> harness/scenarios/plugin.py", True)]
)
def test_a_harness_that_changes_during_a_run_is_told(
    tmp_path: Path, own_checkout: Path, does: str, dirty: bool
) -> None:
    root = shutil.copytree(own_checkout, tmp_path / "checkout")
    done = made_up(tmp_path, root, DOES=does)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["passed"]
    statement = json.loads((Path(told["folder"]) / STATEMENT_FILE).read_text())
    header = statement["predicate"]["harness_evidence"]
    assert header["tools"]["harness"]["dirty"] is dirty
    assert ("changed during the run" in done.stderr) is dirty


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LabError("board desk is in use", hint="wait for it"), 3),
        (ConfigurationError("recipe.yaml: was changed"), 2),
    ],
)
def test_what_kept_a_scenario_from_running_is_told_as_what_it_is(
    tmp_path: Path, own_checkout: Path, error: HarnessError, code: int
) -> None:
    """A board that is in use is nobody's bug."""
    told = json.dumps(errors.to_data(error))
    done = made_up(tmp_path, own_checkout, RECORDS="[]", TOLD=told, DOES="false")
    assert (done.returncode, done.stdout) == (code, "")
    assert f"{error.kind}: {error.brief}" in done.stderr
    (tmp_path / "bug").mkdir()
    assert made_up(tmp_path / "bug", own_checkout, RECORDS="[]", DOES="false").returncode == 1
    assert not list(tmp_path.glob(f"**/{ENVELOPE_FILE}"))


def test_what_lies_above_or_in_the_environment_says_nothing(
    tmp_path: Path, own_checkout: Path
) -> None:
    """A conftest.py of a folder above, and pytest's own variables."""
    root = shutil.copytree(own_checkout, tmp_path / "above/checkout")
    (tmp_path / "above/conftest.py").write_text("raise RuntimeError('from above')\n")
    done = made_up(tmp_path, root, PYTEST_ADDOPTS="-k nothing", PYTEST_PLUGINS="no_such_plugin")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdicts"] == {"update": "new"}


def product(checkout: Path, target: Path, text: str) -> Path:
    """The checkout, with a scenario of its own in a file of this text."""
    root = shutil.copytree(checkout, target)
    (root / "harness.toml").write_text('lab = "labs/qemu.yaml"\nscenarios = "mine"\n')
    (root / "mine").mkdir()
    (root / "mine/test_site.py").write_text(text)
    return root


LEAKS = """
import os, threading, time
from harness.evidence.record import Record
from harness.judge.verdict import Verdict
os.environ["LEAKED"] = "1"
os.chdir("/")
Record.verdict = Verdict.BRICKED
threading.Thread(target=time.sleep, args=(3600,)).start()
def test_site(): ...
def test_skipped():
    import pytest
    pytest.skip("not today")
"""


def test_what_a_products_own_file_does_to_its_process_ends_with_it(
    tmp_path: Path, own_checkout: Path
) -> None:
    """Neither the harness's own scenarios nor who writes the evidence ever import it; and what has
    left no record is told."""
    root = product(own_checkout, tmp_path / "b[1]::c", LEAKS)
    done = made_up(tmp_path, root, DOES='test -z "$LEAKED"')
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["verdicts"] == {"update": "new", "site": "new"}
    statement = json.loads((Path(told["folder"]) / STATEMENT_FILE).read_text())
    left_out = statement["predicate"]["harness_evidence"]["left_out"]
    assert left_out["skipped"] == "Skipped: not today"
    assert {each.name for each in Path(told["folder"]).glob("*.xml")} == {
        "junit.xml",
        "junit-own.xml",
    }


def test_what_is_installed_or_lies_beside_says_nothing(tmp_path: Path, own_checkout: Path) -> None:
    """A plugin of pytest in this Python, a module of a known name in the working folder, and what
    Python has once compiled."""
    root = product(own_checkout, tmp_path / "checkout", "def test_site(): ...\n")
    here = root / "here"
    here.mkdir()
    (here / "queue.py").write_text("raise RuntimeError('from the working folder')\n")
    site = tmp_path / "site"
    (site / "rude-1.dist-info").mkdir(parents=True)
    (site / "rude-1.dist-info/METADATA").write_text("Name: rude\nVersion: 1\n")
    (site / "rude-1.dist-info/entry_points.txt").write_text("[pytest11]\nrude = rude\n")
    (site / "rude.py").write_text("raise RuntimeError('from a plugin')\n")
    source = root / "mine/test_site.py"
    cache = root / "mine/__pycache__"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(source)]
    run(words, timeout=100, cwd=root / "mine", without=["PYTHONDONTWRITEBYTECODE"])
    assert list(cache.iterdir())
    stamp = source.stat()
    source.write_text("def test_gone(): ...\n")  # as long as the one before, and of its time
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    done = made_up(tmp_path, root, cwd=here, PYTHONPATH=f"{root}:{site}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["verdicts"] == {"update": "new"}
    statement = json.loads((Path(told["folder"]) / STATEMENT_FILE).read_text())
    assert "gone" in statement["predicate"]["harness_evidence"]["left_out"]


def test_a_scenario_file_that_ends_everything_is_told(tmp_path: Path, own_checkout: Path) -> None:
    root = shutil.copytree(own_checkout, tmp_path / "checkout")
    (root / "harness/scenarios/suite/test_more.py").write_text("raise SystemExit(0)\n")
    done = made_up(tmp_path, root)
    assert (done.returncode, done.stdout) == (2, "")
    assert "SystemExit" in done.stderr


def test_a_scenario_file_that_ends_its_process_is_told(tmp_path: Path, own_checkout: Path) -> None:
    root = product(own_checkout, tmp_path / "checkout", "import os\nos._exit(7)\n")
    done = made_up(tmp_path, root)
    assert (done.returncode, done.stdout) == (2, "")
    assert "scenarios cannot be collected: exit code 7" in done.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nonsuch_\n", "No module named 'nonsuch_'"),
        ("def test_y(:\n", "SyntaxError"),
        ("raise ValueError('of two\\nlines')\n", "lines"),
        (
            "import pytest\n@pytest.mark.parametrize('x', [1])\ndef test_y(): ...\n",
            "uses no argument",
        ),
    ],
)
def test_a_scenario_file_that_cannot_be_collected_is_told_in_one_line(
    tmp_path: Path, own_checkout: Path, text: str, why: str
) -> None:
    root = shutil.copytree(own_checkout, tmp_path / "checkout")
    (root / "harness/scenarios/suite/test_wrong.py").write_text(text)
    done = made_up(tmp_path, root, RECORDS="[]")
    told = [line for line in done.stderr.splitlines() if "test_wrong.py" in line]
    assert (done.returncode, len(told)) == (2, 1), done.stderr
    assert why in told[0]


def test_a_run_without_records_is_neither_signed_nor_passed(
    tmp_path: Path, own_checkout: Path
) -> None:
    done = made_up(tmp_path, own_checkout, RECORDS="[]")
    assert done.returncode == 2, done.stderr
    assert "no scenario left a record" in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.glob(f"store/*/*/*/{ENVELOPE_FILE}"))


def test_a_signed_run_without_records_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an earlier harness has left them."""
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    signer, subject = signing.load_signer(), make_release(tmp_path / "release")
    stored = finished_run(EvidenceStore(tmp_path / "store"), subject, [record()], signer)
    payload = replace(stored.evidence, records=()).to_bytes()
    (stored.folder / STATEMENT_FILE).write_bytes(payload)
    (stored.folder / ENVELOPE_FILE).write_bytes(signing.seal(payload, signer))
    with pytest.raises(ConfigurationError, match="no scenario left a record"):
        require_passed(load(stored.folder, [signer.public_key]))
    words: list[str | Path] = ["-m", "harness", "report", stored.folder]
    done = run([sys.executable, *words], timeout=100, check=False)
    assert done.returncode == 2
    assert "no scenario left a record" in done.stderr


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (pytest.ExitCode.INTERRUPTED, KeyboardInterrupt),
        (pytest.ExitCode.INTERNAL_ERROR, HarnessError),
        (pytest.ExitCode.USAGE_ERROR, ConfigurationError),
        (pytest.ExitCode.NO_TESTS_COLLECTED, ConfigurationError),
        (7, HarnessError),  # a plugin's own
    ],
)
def test_what_pytest_calls_no_run_is_none(code: int, kind: type[BaseException]) -> None:
    for good in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        require_ended(good, recorded("passed"))  # the records say what failed
    with pytest.raises(kind) as refused:
        require_ended(code, recorded("passed"))
    assert type(refused.value) is kind


def test_a_key_that_cannot_sign_is_told_before_a_run(tmp_path: Path, own_checkout: Path) -> None:
    key = tmp_path / "key.pem"
    done = made_up(tmp_path, own_checkout, HARNESS_EVIDENCE_KEY=str(key))
    assert done.returncode == 2
    assert f"$HARNESS_EVIDENCE_KEY: {key}: No such file" in done.stderr
    assert not (tmp_path / "store").exists()


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
    releases = HashedReleases(tmp_path / "new", tmp_path / "old")
    assert releases.subjects[0] == subject
    releases.require_same(tmp_path)  # control: nothing has changed yet
    change(tmp_path / "new" / name)
    with pytest.raises(ConfigurationError, match="harness test") as refused:
        releases.require_same(tmp_path)
    assert f"new/{name}: was written or replaced" in refused.value.details
    assert "nothing was signed" in refused.value.hint


def test_a_part_that_changes_during_a_run_is_not_signed_for(tmp_path: Path) -> None:
    part = UsedPart(
        group="clients",
        name="acme",
        value="acme:Client",
        distribution="acme-ota",
        version="1.2",
        sha256="0" * 64,
    )
    require_same_parts((part,), (part,), tmp_path)
    with pytest.raises(ConfigurationError, match="harness test") as refused:
        require_same_parts((part,), (replace(part, sha256="1" * 64),), tmp_path)
    assert "clients acme of acme-ota 1.2: was changed" in refused.value.details
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
    releases = HashedReleases(release, tmp_path / "old")
    releases.require_same(tmp_path)
    change(release)
    with pytest.raises(ConfigurationError, match="harness test") as refused:
        releases.require_same(tmp_path)
    assert "was written or replaced" in refused.value.details
