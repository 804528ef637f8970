"""One crash state booted by whoever has a free board: what runs on the workers of an exploration.

A worker is a process of a Dask cluster, on this host or another one that has the same checkout and
sees the same recording, releases and cache. The first board of its kind that nobody else has is
taken: `gateway-qemu@1`, `@2`, ... are all made of the lab file's `gateway-qemu`.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.boards.board import Board
from harness.boards.lab import open_board
from harness.boards.lock import BoardHeld
from harness.crash.exploration.prove import PROOFS, proofs, prove, serving
from harness.crash.exploration.sources import followed, sources
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import CrashState
from harness.errors import ConfigurationError, LabError

_BOARDS = 512  # more than any host has cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One boot, as an exploration asks for it. `number` of the proof's folder; `sample`: it is
    booted although another boot has decided it; `comes_back`: it is asked to come back after the
    probe, which takes as long as all before it; `follows`: `Proof.follows`."""

    number: int
    sample: bool = False
    comes_back: bool = True
    follows: str = ""


def boot(run: str, state: CrashState, task: Task) -> int:
    """Boot a state of the recording in folder `run`; returns the number of the proof that is left.

    Raises LabError when the bench is at fault: the state may be booted again.
    """
    recording = Recording.load(Path(run))
    recording.verify(releases=False)
    recording.require_bench()
    folder = recording.folder / PROOFS / f"{task.number:05}"
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that died
    folder.mkdir(parents=True)
    # A card's state has hundreds of thousands of extents: more bytes than the boot writes.
    with tempfile.TemporaryDirectory() as scratch:
        state_file = Path(scratch) / "state.json"
        extents_file(recording, state, state_file, follows=task.follows)
        with _any_board(recording) as board, serving(recording, board):
            prove(
                recording,
                board,
                state,
                state_file,
                folder,
                comes_back=task.comes_back,
                sample=task.sample,
                follows=task.follows,
            )
    return task.number


def extents_file(
    recording: Recording, state: CrashState, target: Path, *, follows: str = ""
) -> str:
    """Write the state file of a crash state (docs/medium.md). Returns what it `follows`: without a
    word about that, the first boot of the state before.

    ConfigurationError when there is no such state, or it follows a boot that was never made.
    """
    try:
        known = proofs(recording) if state.nested else []
        sources(recording, state, known, follows=follows).save(target)
        return followed(state, known, follows).log.sha256 if state.nested else ""
    except StopIteration:
        raise ConfigurationError(
            f"{recording.folder}: no boot of {state.before} is known, so nothing follows it",
            hint=f"harness crash replay {recording.folder} --state '{state.before}' --no-console",
        ) from None


@contextlib.contextmanager
def _any_board(recording: Recording) -> Iterator[Board]:
    for number in range(1, _BOARDS):
        with contextlib.ExitStack() as stack:
            try:
                board = stack.enter_context(
                    open_board(recording.lab, f"{recording.board}@{number}")
                )
            except BoardHeld:
                continue
            yield board
            return
    raise LabError(f"no free board of kind {recording.board} on this host")
