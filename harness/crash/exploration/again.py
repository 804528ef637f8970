"""The device of another recording, recorded once more: the same keys, the same server, another new
version. What a boot has read of one, it reads of the other; so proofs carry over (`carried`).

The recording begins with the other's own beginning: its factory boot and what the harness gave the
device then, record by record, up to the mark that the update starts. The board gets what these
records left, and goes on from there.
"""

import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.boards.board import Board
from harness.crash.recording.recording import PROBE, Recording
from harness.crash.states.cut import Cut
from harness.crash.states.sources import Sources, cut_off
from harness.errors import ConfigurationError, LabError
from harness.judge.identity import Identity
from harness.log import step
from harness.medium.log import LogError, join
from harness.medium.model import Loss, LossKind, Model
from harness.product.release import Digest, Release

_EVERYTHING = Loss(kind=LossKind.ALL)
_BOOT = timedelta(minutes=20)  # a board's clock is that far ahead after a boot, at most: `alike`


class Again:
    """A recording whose device is recorded again. ConfigurationError when it is of another old
    version or board, or not what it was."""

    def __init__(self, recording: Recording, old: Release, board: str) -> None:
        kinds = [name.partition("@")[0] for name in (recording.board, board)]
        if old != recording.old:
            raise ConfigurationError(
                f"{old.folder} is not the release that {recording.folder} began with",
                hint=f"--from {recording.old.folder}",
            )
        if kinds[0] != kinds[1]:
            raise ConfigurationError(
                f"{recording.folder}: was recorded on {kinds[0]}, not on {kinds[1]}",
                hint=f"--board {recording.board}",
            )
        recording.verify()
        self._recording = recording
        # Later than all that the device has seen: no file and no mount comes from the future.
        self._clock = max(recording.clock, datetime.now(UTC).replace(microsecond=0))
        self._began = datetime.now(UTC)

    @property
    def port(self) -> int:
        """Of the update server that the device knows."""
        return self._recording.server_port

    @property
    def newer(self) -> Release | None:
        """Whose update its probe is."""
        return self._recording.newer

    @property
    def identity(self) -> Identity:
        """Of the device; a copy."""
        return replace(self._recording.identity)

    def put_on(self, board: Board) -> None:
        """Make the board the device as it was when its update started; it is off."""
        recording = self._recording
        with step("again", board=board.name, run=str(recording.folder)):
            recording.require_accelerator(board.can.record.accelerator, board.name)
            board.power_off()
            left = Sources(recording.sectors * 512, recording.base)
            cut = Cut(at=recording.start, loss=_EVERYTHING)
            cut_off(left, recording.log, Model(recording.model), cut)
            with tempfile.TemporaryDirectory(prefix="harness-again-") as name:
                state = Path(name) / "state.json"
                left.save(state)
                board.can.record.load_state(state, clock=self._clock, seed=recording.seed)

    def keep_log(self, board: Board, target: Path) -> None:
        """The whole log: the other recording's beginning, then what the board has written."""
        recording = self._recording
        try:
            join(recording.log, recording.start, board.can.record.write_log, target)
        except LogError as error:
            raise LabError(str(error), hint="record on a board of the same kind") from error

    def clock(self, boots: int) -> datetime:
        """Later than anything that the board's clock has shown in so many boots."""
        passed = datetime.now(UTC) - self._began
        return (self._clock + passed + (boots + 1) * _BOOT).replace(microsecond=0)

    def take_probe(self, _: Release, folder: Path, __: Release | None) -> Digest:
        """The very probe of the other recording; see `probe.make`."""
        for file in self._recording.folder.glob(f"{PROBE}*"):
            shutil.copyfile(file, folder / file.name)
        return self._recording.probe_slot
