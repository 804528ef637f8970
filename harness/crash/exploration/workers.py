"""One crash state booted by whoever has a free board: what runs on the workers of an exploration.

A worker is a process of a Dask cluster, on this host or another one that has the same checkout and
sees the same recording, releases and cache. The first board of its kind that nobody else has is
taken: `gateway-qemu@1`, `@2`, ... are all made of the lab file's `gateway-qemu`.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.boards.board import Board
from harness.boards.lab import open_board
from harness.boards.lock import BoardHeld
from harness.crash.exploration.prove import PROOFS, proofs, prove, serving
from harness.crash.exploration.sources import sources
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import CrashState
from harness.errors import ConfigurationError, LabError

_BOARDS = 512  # more than any host has cores


def boot(run: str, state: CrashState, number: int, sample: bool, comes_back: bool) -> int:
    """Boot a state of the recording in folder `run`; the proof is left in its folder `number`.
    `sample`: it is booted although another boot has decided it; `comes_back`: it is asked to come
    back after the probe, which takes as long as all before it.

    Raises LabError when the bench is at fault: the state may be booted again.
    """
    recording = Recording.load(Path(run))
    recording.verify(releases=False)
    recording.require_bench()
    folder = recording.folder / PROOFS / f"{number:05}"
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that died
    folder.mkdir(parents=True)
    # A card's state has hundreds of thousands of extents: more bytes than the boot writes.
    with tempfile.TemporaryDirectory() as scratch:
        state_file = Path(scratch) / "state.json"
        extents_file(recording, state, state_file)
        with _any_board(recording) as board, serving(recording, board):
            prove(
                recording,
                board,
                state,
                state_file,
                folder,
                comes_back=comes_back,
                sample=sample,
            )
    return number


def extents_file(recording: Recording, state: CrashState, target: Path) -> None:
    """Write the state file of a crash state (docs/medium.md).

    ConfigurationError when there is no such state, or it follows a boot that was never made.
    """
    try:
        known = proofs(recording) if state.nested else []
        sources(recording, state, known).save(target)
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
