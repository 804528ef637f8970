"""One crash state on a board, for a person: its console, or just its verdict."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.boards import bench
from harness.boards.board import Board
from harness.boards.lab import board_options, open_board
from harness.boards.lab_file import described
from harness.crash.exploration.prove import PROOFS, Proof, prove, serving
from harness.crash.exploration.workers import extents_file
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import CrashState
from harness.errors import ConfigurationError

_REPLAYS = "replay-"  # name of a replay's proof, beside the explorer's numbers
_ELSEWHERE = "elsewhere"  # folder of those on another bench


@contextlib.contextmanager
def state_file(recording: Recording, state: CrashState) -> Iterator[tuple[Path, str]]:
    """The content of a state, as a file for the length of a `with` block; and what it `follows`.

    ConfigurationError when the recording has no such state.
    """
    with tempfile.TemporaryDirectory(prefix="harness-state-") as name:
        path = Path(name) / "state.json"
        yield path, extents_file(recording, state, path)


def sit_at(
    recording: Recording, state: CrashState, *, board: str = "", lab: Path | None = None
) -> None:
    """Boot a state with the user's terminal on the console; when it is left, the power goes off."""
    with state_file(recording, state) as (path, _), _board(recording, board, lab) as opened:
        opened.can.record.load_state(path, clock=recording.clock, seed=recording.seed)
        with serving(recording, opened):
            opened.power_on()
            bench.console(opened.name, lab=lab or recording.lab)


def judge(
    recording: Recording, state: CrashState, *, board: str = "", lab: Path | None = None
) -> Proof:
    """Boot a state and judge it; the proof is kept in the recording: for the explorer, too, where
    the board is the one that was recorded.

    ConfigurationError for a state that nothing can be asked of: half provisioned by the harness.
    """
    recording.require_cut(state.first.at)
    recording.verify(releases=False)
    kept = kept_in(recording, board=board, lab=lab)
    kept.mkdir(exist_ok=True)
    with (
        state_file(recording, state) as (path, follows),
        _board(recording, board, lab) as opened,
        serving(recording, opened),
    ):
        folder = Path(tempfile.mkdtemp(prefix=_REPLAYS, dir=kept))
        return prove(recording, opened, state, path, folder, follows=follows)


def kept_in(recording: Recording, *, board: str = "", lab: Path | None = None) -> Path:
    """Where proofs of that board go: those on another bench decide nothing."""
    bench = described(lab or recording.lab, board or recording.board)
    return recording.folder / (PROOFS if bench == recording.bench else _ELSEWHERE)


@contextlib.contextmanager
def _board(recording: Recording, name: str, lab: Path | None) -> Iterator[Board]:
    """The board that was recorded, or another one of its machine."""
    lab, name = lab or recording.lab, name or recording.board
    machine = board_options(lab).get(name, {}).get("machine", recording.machine)
    if machine != recording.machine:
        raise ConfigurationError(
            f"{name} is a {machine}, the recording is of a {recording.machine}",
            hint="harness status shows the boards and their machines",
        )
    with open_board(lab, name) as opened:
        yield opened
