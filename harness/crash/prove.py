"""Proves one crash state: boots it, judges it, and lets it install another update.

The verdict is the judge's (`harness.crash.verdict`), as in every scenario: the board boots until
it is healthy or out of budget, then what it says of itself is compared with its medium. What the
board read for that is the proof's read set. It does not hold what the *judge* read from the medium:
both slots, in full. Whoever applies a proof to another state must compare the slots' contents, too.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.boards.board import Board
from harness.clients.registry import make_client
from harness.crash import probe
from harness.crash.probe import serving
from harness.crash.recording import CONSOLE, LOG, Recording, keep_consoles
from harness.crash.verdict import Judge, Judgement
from harness.errors import ConfigurationError
from harness.log import step
from harness.verdict import Invariant, Verdict

__all__ = ["Proof", "prove", "serving"]

FILE = "proof.json"
_FAILED = (Verdict.BRICKED, Verdict.INCONSISTENT)

Runs = Sequence[tuple[int, int]]  # (first sector, sectors), sorted


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What became of one crash state. `folder` has the boot's write log up to the judge's verdict,
    and its console logs."""

    state: str
    verdict: Verdict
    final: str  # "old" or "new", or "" where nothing known runs
    slot: str  # A or B: that it runs from; "" where nobody could say
    boots: int
    broken: tuple[Invariant, ...]  # only those that do not hold
    reads: Runs  # what the board read before it wrote it, up to the end of the probe
    reads_judged: Runs  # and up to the judge's verdict
    seconds: float
    folder: Path

    def save(self) -> None:
        """Write proof.json; the last file of a proof, so that a proof that has it is complete."""
        content = asdict(self)
        del content["folder"]
        new = self.folder / f"{FILE}.new"
        new.write_text(json.dumps(content) + "\n", encoding="utf-8")
        new.replace(self.folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "Proof":
        """Read a proof back; ConfigurationError when there is none or it is damaged."""
        try:
            content: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(
                **{
                    **content,
                    "folder": folder,
                    "verdict": Verdict(content["verdict"]),
                    "broken": tuple(Invariant(**each) for each in content["broken"]),
                    "reads": [(first, count) for first, count in content["reads"]],
                    "reads_judged": [(first, count) for first, count in content["reads_judged"]],
                }
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(
                f"{folder / FILE}: no proof: {error}", hint="delete the folder and explore again"
            ) from error


def prove(
    recording: Recording, board: Board, state_text: str, state_file: Path, folder: Path
) -> Proof:
    """Boot a state (`state_file` is its content, `state_text` only its name) and judge it.

    The caller holds the board and runs `serving`. LabError when the bench fails: then there is no
    verdict. The board is off afterwards in any case.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with step("prove", state=state_text, board=board.name):
        board.load_state(state_file, clock=recording.clock, seed=recording.seed)
        try:
            board.power_on()
            judge = _judge(recording, board)
            judgement = judge.judge(boots_before=0)
            reads_judged = board.read_set()
            shutil.copyfile(board.write_log, folder / LOG)
            judgement = _with_probe(recording, board, judge, judgement)
            reads = board.read_set()
        finally:
            board.power_off()
            keep_consoles(board, folder / CONSOLE)
    proof = Proof(
        state=state_text,
        verdict=judgement.verdict,
        final=judgement.final,
        slot=judgement.slot,
        boots=judgement.boots,
        broken=tuple(each for each in judgement.invariants if not each.holds),
        reads=reads,
        reads_judged=reads_judged,
        seconds=round(time.monotonic() - began, 3),
        folder=folder,
    )
    proof.save()
    return proof


def _judge(recording: Recording, board: Board) -> Judge:
    client = make_client(recording.old.client, board)
    # The probe comes from the device's update server: to ask for that as well costs a second.
    return Judge(
        board=board, client=client, old=recording.old, new=recording.new, asks_server=False
    )


def _with_probe(recording: Recording, board: Board, judge: Judge, found: Judgement) -> Judgement:
    """The judgement with one more invariant, unless there is nothing left to ask."""
    if found.verdict in _FAILED:
        return found
    second = probe.install(recording, board, judge)
    return replace(
        found,
        verdict=found.verdict if second.holds else Verdict.INCONSISTENT,
        invariants=(*found.invariants, second),
    )
