"""Runs scenarios with pytest and turns what they leave into signed evidence.

This process is pytest's controller; one pytest-xdist worker drives one board and sends its records
with its test reports. The harness's own scenarios run first, then, in workers of their own, the
product's. Records are on disk as they come; the run is signed when it has ended.
"""

import shlex
from collections.abc import Collection as Ids
from dataclasses import replace
from pathlib import Path

import pytest

from harness import errors, project
from harness.boards import lab_file
from harness.boards.lab_file import Kind
from harness.builders import builder
from harness.builders.builder import Ability
from harness.errors import ConfigurationError, DeviceError, HarnessError, LabError
from harness.evidence import signing
from harness.evidence.evidence import BoardTold
from harness.evidence.record import Outcome, Record
from harness.evidence.report import write_report
from harness.evidence.store import EvidenceStore, Run, Stored
from harness.evidence.subject import Subject, read_subject
from harness.evidence.tools import tool_versions, tools_at_end
from harness.log import emit, step
from harness.plain import one_line
from harness.plugins import UsedPart
from harness.product import parts
from harness.product.release import FILE, Release, load
from harness.scenarios import children, collection
from harness.scenarios.collection import Collection
from harness.scenarios.invocation import Selection, alone, arguments, filters, places, settings


class RecordKeeper:
    """A pytest plugin in the controller: keeps each record the moment its test ends."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.unexplained: list[str] = []  # tests that failed and left no failed record
        self.without: dict[str, str] = {}  # scenario that ended well and left no record -> why
        self.seen: set[str] = set()  # scenarios of which anything is known
        self.errors: dict[str, HarnessError] = {}  # test -> what kept it from any

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called for each phase of each test, also for those run by workers."""
        data = getattr(report, "harness_records", [])
        records = [Record.from_data(each, what=report.nodeid) for each in data]
        if left_out := getattr(report, "harness_left_out", ""):  # the lab was broken before
            self.without[getattr(report, "harness_scenario", "")] = left_out
        elif report.failed and all(record.passed for record in records):
            if told := getattr(report, "harness_error", None):
                self.errors[report.nodeid] = errors.of_data(told)
            else:
                self.unexplained.append(f"{report.nodeid} ({report.when})")
        scenario = getattr(report, "harness_scenario", "")
        for record in records:
            if record.scenario != scenario:
                self.unexplained.append(f"{report.nodeid}: left a record of {record.scenario}")
                continue
            self.run.add(record)
            emit("record", scenario=record.scenario, outcome=str(record.outcome))
        self.seen.add(scenario)
        if not (records or report.failed) and (report.when == "call" or report.skipped):
            self.without[scenario] = _why_without(report)


def _why_without(report: pytest.TestReport) -> str:
    """Why a test that ended well has left no record."""
    if expected := getattr(report, "wasxfail", None):
        return one_line(f"it fails as its mark expects: {expected}")
    if report.skipped and isinstance(report.longrepr, tuple):
        return one_line(report.longrepr[2])
    return "it leaves no record"


class HashedReleases:
    """The releases of a run, hashed when it begins and again when it has ended: what is signed is
    what was tested. A file or folder that was replaced and put back is told by its inode and change
    time, which nobody can set."""

    def __init__(self, *folders: Path) -> None:
        self._folders = [folder.resolve() for folder in folders]
        found = [load(folder) for folder in self._folders]
        self._files = [each.folder / name for each in found for name in ("", FILE, *each.files)]
        self._stamps = self._stamped()
        self.subjects = self._hashed()

    def require_same(self, kept: Path) -> None:
        """Raises ConfigurationError that names what has changed; `kept` is the run's folder."""
        stamps = self._stamped()
        changed = [file for file in self._files if stamps[file] != self._stamps[file]]
        hint = f"test it again; nothing was signed, what there is lies in {kept}"
        if changed:
            told = [f"{file}: was written or replaced while it was tested" for file in changed]
            raise ConfigurationError.of("harness test", told, hint=hint)
        if self._hashed() != self.subjects:
            raise ConfigurationError("harness test: a release changed during the run", hint=hint)

    def _hashed(self) -> tuple[Subject, ...]:
        with step("hash releases"):
            return tuple(read_subject(folder) for folder in self._folders)

    def _stamped(self) -> dict[Path, tuple[int, ...]]:
        return {file: _stamp(file) for file in self._files}


def _stamp(file: Path) -> tuple[int, ...]:
    """What changes with any change of a file, or of a link to it; nothing when it is not there."""
    try:
        both = (file.lstat(), file.stat())
    except OSError:
        return ()
    return tuple(
        number
        for seen in both
        for number in (seen.st_dev, seen.st_ino, seen.st_size, seen.st_ctime_ns)
    )


def run_scenarios(selection: Selection, store: EvidenceStore) -> Stored:
    """Run the selected scenarios and return the signed evidence, whatever the verdicts are.

    Raises ConfigurationError (nothing selected, a key that cannot sign, or a release that is
    another one after the run than before), HarnessError (a test broke, or a negative control was
    not caught: then the suite's passes are worth nothing), KeyboardInterrupt. The records of such
    runs stay in their folder, unsigned.
    """
    selection = replace(  # a link may lead elsewhere later
        selection,
        release=selection.release.resolve(),
        from_release=selection.from_release.resolve(),
    )
    signer = signing.load_signer()  # before hours of scenarios that nobody could sign for
    new, old = load(selection.release), load(selection.from_release)
    _check_boards(selection, (new, old))
    accelerators = _accelerators(selection)
    with alone():
        found = _collected(selection, new)
        releases = HashedReleases(selection.release, selection.from_release)
        subject, before = releases.subjects
        run = store.begin(
            subject,
            from_release=before,
            board=", ".join(selection.boards),
            lab=project.told(selection.lab),
            tools=tool_versions(selection.lab),
            left_out={**found.left_out, **_not_looked_into(new)},
            accelerators=accelerators,
            benches=_benches(selection),
            parts=parts.of(new, old),
        )
        recorder = RecordKeeper(run)
        for place, scenarios in zip(places(), found.parts, strict=False):
            if scenarios:
                code = pytest.main(
                    arguments(selection, run.folder, place, scenarios), plugins=[recorder]
                )
                require_ended(code, recorder, scenarios)
    releases.require_same(run.folder)
    require_same_parts(run.header.parts, parts.of(new, old), run.folder)
    stored = run.finish(
        signer,
        tools=tools_at_end(run.header.tools, selection.lab),
        left_out={**run.header.left_out, **recorder.without},
    )
    write_report(stored.evidence, stored.folder)
    return stored


def require_passed(stored: Stored) -> None:
    """Raises DeviceError when any scenario failed, LabError when one could not be judged,
    ConfigurationError when there is none."""
    evidence = stored.evidence
    evidence.require_records(stored.folder)
    failed = [r for r in evidence.records if r.outcome is Outcome.FAILED]
    unjudged = [r for r in evidence.records if r.outcome is Outcome.LAB_ERROR]
    where = f"evidence: {stored.folder}"
    for records, kind in ((failed, DeviceError), (unjudged, LabError)):
        if records:
            raise kind(
                f"{evidence.subject}: {len(records)} of {len(evidence.records)} scenarios "
                + ("failed" if kind is DeviceError else "could not be judged"),
                details="\n".join(f"  {r.scenario}: {r.why}\n    {r.replay}" for r in records),
                hint=where,
            )


def _collected(selection: Selection, release: Release) -> Collection:
    """What the workers will run: a selection that names nothing which this machine has is told
    before anything is begun."""
    words = [*settings(selection), *places(), *filters(selection)]
    with step("collect scenarios", machine=release.machine):
        found = collection.collect([*words, "--collect-only", "-qq", "-p", "no:cacheprovider"])
    if found.code:
        nothing = found.code == pytest.ExitCode.NO_TESTS_COLLECTED  # the first line says it all
        raise ConfigurationError(
            f"no scenario can be run for {shlex.join(filters(selection))} on {release.machine} "
            f"({release.product.bootloader}), boards {', '.join(selection.boards)}",
            details="" if nothing else found.said,
            hint="--scenario takes exact ids, -k parts of test names; docs/scenarios.md lists them",
        )
    return found


def _not_looked_into(release: Release) -> dict[str, str]:
    """What of the releases themselves is not checked, and why."""
    why = builder.lacking(release, Ability.PAYLOAD)
    return {"artifact-payload": why} if why else {}


def require_ended(code: int, recorder: RecordKeeper, scenarios: Ids[str] = ()) -> None:
    """Raises unless pytest has run these scenarios to their ends, whatever became of them: what
    kept one from it, or HarnessError for what is a bug of the harness or of the suite."""
    kept = f"see above; nothing was signed, what there is lies in {recorder.run.folder}"
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code in (pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.USAGE_ERROR):
        raise ConfigurationError(f"pytest ran no scenario (its exit code: {code:d})", hint=kept)
    if recorder.errors and not recorder.unexplained:
        raise children.worst(recorder.errors)
    ended = code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    broken = [*recorder.unexplained]
    broken += [f"{name}: did not run" for name in sorted(set(scenarios) - recorder.seen)]
    if not ended or broken:
        raise HarnessError(
            "scenarios broke without a verdict, or a negative control was not caught",
            details="\n".join(f"  {name}" for name in broken),
            hint=kept,
        )


def require_same_parts(before: Ids[UsedPart], now: Ids[UsedPart], kept: Path) -> None:
    """ConfigurationError when the code of a part is another one than when the run began, whose
    folder is `kept`."""
    changed = [f"{each}: was changed while it was used" for each in before if each not in now]
    if changed:
        hint = f"test it again; nothing was signed, what there is lies in {kept}"
        raise ConfigurationError.of("harness test", changed, hint=hint)


def _check_boards(selection: Selection, releases: tuple[Release, ...]) -> None:
    """All problems of boards that do not exist, or are not what the releases were built for."""
    boards = lab_file.load(selection.lab).options
    problems = [
        f"--board {name}: {selection.lab} has {', '.join(sorted(boards))}"
        for name in selection.boards
        if name not in boards
    ]
    problems += [
        f"--board {name}: is a {boards[name].get('machine')}, "
        f"{release.machine} {release.version} is for {release.machine}"
        for name in selection.boards
        for release in releases
        if name in boards and boards[name].get("machine") != release.machine
    ]
    if problems:
        raise ConfigurationError.of("harness test", problems)


def _accelerators(selection: Selection) -> dict[str, str]:
    """What executes the instructions of each board that QEMU plays."""
    lab = lab_file.load(selection.lab)
    found = {board: lab.accelerator(selection.lab, board) for board in selection.boards}
    return {board: each for board, each in found.items() if each}


def _benches(selection: Selection) -> dict[str, BoardTold]:
    """What the boards are that QEMU does not play."""
    lab = lab_file.load(selection.lab)
    return {
        board: BoardTold(
            kind=lab.kind(board),
            board_serial=lab.options[board].get("board_serial", ""),
            card_serial=lab.options[board].get("card_serial", ""),
        )
        for board in selection.boards
        if lab.kind(board) is not Kind.QEMU
    }
