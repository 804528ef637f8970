"""Proves one crash state: boots it, judges it, and lets it install another update.

The verdict is the judge's (`harness.crash.verdict`), as in every scenario: the board boots until
it is healthy or out of budget, then what it says of itself is compared with its medium. What the
board read for that is the proof's read set. It does not hold what the *judge* read from the medium:
both slots, in full. Whoever applies a proof to another state must compare the slots' contents, too.
"""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from harness.boards.board import Board
from harness.clients.registry import make_client
from harness.crash import digests, probe
from harness.crash.probe import serving
from harness.crash.recording import CONSOLE, LOG, Recording, keep_consoles
from harness.crash.schema import STRICT, Count, Seconds, Sha256, file_bytes, parsed
from harness.crash.state import possible
from harness.crash.verdict import Judge, Judgement
from harness.errors import ConfigurationError
from harness.images.release import Digest
from harness.log import step
from harness.verdict import Invariant, Verdict

__all__ = ["Proof", "prove", "serving"]

FILE = "proof.json"
_FAILED = (Verdict.BRICKED, Verdict.INCONSISTENT)

_AGAIN = "delete the proof's folder and explore again"

Runs = Sequence[tuple[Count, Count]]  # (first sector, sectors), sorted


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What became of one crash state. `folder` has the boot's write log up to the judge's verdict,
    and its console logs."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    recording: Sha256  # its id
    state: str
    verdict: Verdict
    final: Annotated[str, Field(pattern="^(old|new)?$")]  # "" where nothing known runs
    slot: Annotated[str, Field(pattern="^[AB]?$")]  # that it runs from; "" where nobody could say
    boots: Count
    broken: tuple[Invariant, ...]  # only those that do not hold
    reads: Runs  # what the board read before it wrote it, up to the end of the probe
    reads_judged: Runs  # and up to the judge's verdict
    seconds: Seconds
    log: Digest  # of the write log
    folder: Path

    def save(self) -> None:
        """Write proof.json; the last file of a proof, so that a proof that has it is complete."""
        content = asdict(self)
        del content["folder"]
        new = self.folder / f"{FILE}.new"
        new.write_text(json.dumps(content) + "\n", encoding="utf-8")
        new.replace(self.folder / FILE)

    @classmethod
    def load(cls, folder: Path, recording: Recording) -> "Proof":
        """Read a proof back; ConfigurationError when there is none, or it is damaged or of another
        recording."""
        file = folder / FILE
        text = file_bytes(file, hint=_AGAIN)
        told = parsed(_Head, text, file, hint=_AGAIN).recording
        if told != recording.id:
            raise ConfigurationError(
                f"{file}: recording: {told:.12} is another one, {recording.folder} is"
                f" {recording.id:.12}",
                hint=_AGAIN,
            )
        content = {"folder": str(folder), **json.loads(text)}
        found = parsed(cls, json.dumps(content).encode(), file, hint=_AGAIN)
        if problems := list(found._misfits(recording)):
            raise ConfigurationError.of(str(file), problems, hint=_AGAIN)
        return found

    def _misfits(self, recording: Recording) -> Iterator[str]:
        """What cannot be, in a proof of this recording."""
        for name in ("reads", "reads_judged"):
            end = 0
            for first, count in getattr(self, name):
                if first < end or not count or first + count > recording.sectors:
                    yield f"{name}: {first}, {count} is out of order, or not on the disk"
                    break
                end = first + count
        if not possible(self.state, recording.end):
            yield f"state: {self.state[:80]!r} is none of a recording that ends at {recording.end}"
        ends = {Verdict.OLD: {"old"}, Verdict.NEW: {"new"}, Verdict.RECOVERED: {"old", "new"}}
        if self.final not in ends.get(self.verdict, {"old", "new", ""}):
            yield f"final: {self.final!r} is no end that is {self.verdict}"
        if bool(self.broken) != self.verdict.failed or any(each.holds for each in self.broken):
            yield f"broken: {len(self.broken)} invariants do not make {self.verdict}"
        yield from (f"log: {each}" for each in digests.changed(self.folder, {LOG: self.log}))


@dataclass(frozen=True, slots=True)
class _Head:
    recording: Sha256


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
        recording=recording.id,
        state=state_text,
        verdict=judgement.verdict,
        final=judgement.final,
        slot=judgement.slot,
        boots=judgement.boots,
        broken=tuple(each for each in judgement.invariants if not each.holds),
        reads=reads,
        reads_judged=reads_judged,
        seconds=round(time.monotonic() - began, 3),
        log=digests.of_file(folder / LOG),
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
