"""Releases of several machines, each proven on boards of its machine, all at the same time.

Each machine is one `harness test` in a process of its own and one run in the store, signed there:
evidence stays evidence about one release. This process only matches boards to releases, shows what
the children say, and reads their runs back.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from securesystemslib.signer import Key  # type: ignore[attr-defined]

from harness.errors import ConfigurationError, DeviceError, HarnessError, LabError
from harness.evidence import signing, store
from harness.evidence.store import Stored
from harness.product.release import Release, load
from harness.scenarios import children, runner
from harness.scenarios.children import Ended, Job, Tell
from harness.scenarios.invocation import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRun:
    """One machine's part of a matrix: its signed evidence, or the error that kept it from any."""

    machine: str
    stored: Stored | None
    error: HarnessError | None


def by_machine(
    releases: Sequence[Path], from_releases: Sequence[Path], common: Selection
) -> dict[str, Selection]:
    """Machine -> what to run there: `common` with one release, one to start from, and its boards.

    `common` brings the boards of all machines, and everything else. Raises ConfigurationError with
    all problems: what has no counterpart, is there twice, or does not exist.
    """
    # Not at the top: where pytest runs in this process, it must import labgrid, its plugin, itself.
    from harness.boards.lab import board_options  # noqa: PLC0415

    options = board_options(common.lab)
    new, old = _load(releases, from_releases)
    boards = {name: str(options.get(name, {}).get("machine", "")) for name in common.boards}
    problems = [
        f"--board {name}: {common.lab} has {', '.join(sorted(options))}"
        for name in boards
        if name not in options
    ]
    problems += _twice(new, "releases") + _twice(old, "--from")
    problems += _unmatched(new, old, {name: m for name, m in boards.items() if name in options})
    if problems:
        raise ConfigurationError.of(
            "harness test", problems, hint="each machine needs a release, a --from, and a board"
        )
    starts = {release.machine: release.folder for release in old}
    return {
        release.machine: replace(
            common,
            release=release.folder,
            from_release=starts[release.machine],
            boards=tuple(name for name in common.boards if boards[name] == release.machine),
        )
        for release in new
    }


def run_matrix(
    selections: dict[str, Selection],
    store_folder: Path,
    *,
    tell: Tell,
    on_done: Callable[[Stored], None] = lambda _: None,
    program: Sequence[str | Path] = children.HARNESS,
) -> list[MachineRun]:
    """Run each machine's selection at the same time, whatever the verdicts are.

    `tell` gets each line that a machine prints, `on_done` each run as it ends. A machine that
    breaks does not stop the others: its error is in its MachineRun. KeyboardInterrupt when it was
    interrupted: all machines have ended then, their boards closed.
    """
    keys = [signing.load_signer().public_key]  # made here, before two children need it at once
    runs: dict[str, MachineRun] = {}

    def end(ended: Ended) -> None:
        run = runs[ended.name] = _read_back(ended, keys)
        if run.stored:
            on_done(run.stored)

    jobs = [
        Job(name=machine, words=_words(selection, store_folder))
        for machine, selection in selections.items()
    ]
    children.run_all(jobs, tell=tell, on_end=end, program=program)
    return [runs[machine] for machine in selections]


def require_passed(runs: Sequence[MachineRun]) -> None:
    """Raises what `runner.require_passed` says of a machine, or the error that broke it; of
    several the kind that matters most (`children.worst`), with all of them told."""
    errors: dict[str, HarnessError] = {}
    for run in runs:
        try:
            if run.error:
                raise run.error
            if run.stored:
                runner.require_passed(run.stored)
        except HarnessError as error:
            errors[run.machine] = error
    if errors:
        raise children.worst(errors)


def _read_back(ended: Ended, keys: Sequence[Key]) -> MachineRun:
    """The run that a child tells of, from the store and checked: its word is not enough."""
    stored, error = None, ended.error()
    try:
        if ended.answer:
            stored = store.load(Path(json.loads(ended.answer)["folder"]), keys)
        elif error is None:
            error = HarnessError(f"{ended.name}: ended without an answer")
    except (ValueError, KeyError, TypeError) as cause:
        error = HarnessError(f"{ended.name}: not an answer: {ended.answer}", details=str(cause))
    except HarnessError as cause:
        error = cause
    if stored and isinstance(error, DeviceError | LabError):
        error = None  # only what the verdicts say: `require_passed` says it better
    return MachineRun(machine=ended.name, stored=stored, error=error)


def _load(*kinds: Sequence[Path]) -> list[list[Release]]:
    """Releases of several lists of folders; ConfigurationError for all that cannot be read."""
    loaded: list[list[Release]] = [[] for _ in kinds]
    problems = []
    for found, folders in zip(loaded, kinds, strict=True):
        for folder in folders:
            try:
                found.append(load(folder))
            except ConfigurationError as error:
                problems.append(" ".join(str(error).split()))
    if problems:
        raise ConfigurationError.of("harness test", problems)
    return loaded


def _words(selection: Selection, store_folder: Path) -> tuple[str | Path, ...]:
    """`harness test` for one machine, with its answer as JSON."""
    words: list[str | Path] = ["test", selection.release, "--from", selection.from_release]
    words += [word for board in selection.boards for word in ("--board", board)]
    words += [word for name in selection.scenarios for word in ("--scenario", name)]
    words += ["--tries", str(selection.tries)]
    words += ["--lab", selection.lab, "--tier", selection.tier, "--store", store_folder, "--json"]
    return (*words, "-k", selection.keyword) if selection.keyword else tuple(words)


def _twice(releases: Sequence[Release], what: str) -> list[str]:
    counts = Counter(release.machine for release in releases)
    return [
        f"{what}: {count} for {machine}, of which there can be one"
        for machine, count in counts.items()
        if count > 1
    ]


def _unmatched(new: Sequence[Release], old: Sequence[Release], boards: dict[str, str]) -> list[str]:
    """Releases, starts and boards without a counterpart, a line each."""
    proven, starts = {release.machine for release in new}, {release.machine for release in old}
    problems = [
        f"{release.folder}: no --from for {release.machine}"
        for release in new
        if release.machine not in starts
    ]
    problems += [
        f"{release.folder}: no --board is a {release.machine}"
        for release in new
        if release.machine not in boards.values()
    ]
    problems += [
        f"--from {release.folder}: no release for {release.machine}"
        for release in old
        if release.machine not in proven
    ]
    return problems + [
        f"--board {name}: no release for {machine or 'a board that has no machine in the lab file'}"
        for name, machine in boards.items()
        if machine not in proven
    ]
