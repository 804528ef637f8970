"""Proves one crash state: boots it, judges it, and lets it install another update.

The verdict is the judge's (`harness.judge.judge`), as in every scenario: the board boots until
it is healthy or out of budget, then what it says of itself is compared with its medium. It must be
the version that the state had selected, it must install a probe, and come back from it. What the
board read for all that is the proof's read set. It does not hold what the *judge* read from the
medium: both slots, in full. Whoever applies a proof to another state must compare the slots'
contents, too.
"""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, PlainValidator

from harness import files
from harness.boards.board import Board
from harness.clients.boot_selection import Slot, SlotState
from harness.clients.registry import client_of
from harness.crash.exploration import questions
from harness.crash.exploration.selected import Selected, selected
from harness.crash.recording import digests, probe
from harness.crash.recording.probe import serving
from harness.crash.recording.recording import CONSOLE, LOG, Recording, keep_consoles
from harness.crash.recording.schema import (
    STRICT,
    TCG,
    Accelerated,
    Count,
    Seconds,
    Sha256,
    file_bytes,
    parsed,
)
from harness.crash.states.cut import CrashState, parse
from harness.errors import ConfigurationError
from harness.judge.identity import Identity
from harness.judge.judge import Judge
from harness.judge.verdict import Invariant, Judgement, Verdict
from harness.log import step
from harness.product.profile import ContentCheck
from harness.product.release import Digest

__all__ = ["PROOFS", "Proof", "proofs", "prove", "serving"]

FILE = "proof.json"
PROOFS = "proofs"  # folder of them, in the recording's
_FAILED = (Verdict.BRICKED, Verdict.INCONSISTENT)

_ASKED = questions.digest()  # of what was loaded: the files may be others by the end of a boot
_AGAIN = "delete the proof's folder and explore again"

Runs = Sequence[tuple[Count, Count]]  # (first sector, sectors), sorted


def _state(text: Any) -> CrashState:
    """As proof.json has it: spelled as it is printed, so that each state has one text."""
    try:
        state = parse(text) if isinstance(text, str) else None
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    if state is None or str(state) != text:
        raise ValueError(f"{text!r:.80} is no crash state")
    return state


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What became of one crash state. `folder` has the boot's write log up to the judge's verdict,
    and its console logs."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    recording: Sha256  # its id
    state: Annotated[CrashState, PlainValidator(_state)]
    verdict: Verdict
    final: Annotated[str, Field(pattern="^(old|new)?$")]  # "" where nothing known runs
    slot: Annotated[str, Field(pattern="^[AB]?$")]  # that it runs from; "" where nobody could say
    boots: Count
    broken: tuple[Invariant, ...]  # only those that do not hold
    reads: Runs  # what the board read before it wrote it, until it had come back from the probe
    reads_judged: Runs  # and up to the judge's last verdict before the probe
    seconds: Seconds
    log: Digest  # of the write log
    folder: Path
    # Slots that the judge held against a version as trees of files: what they hold counts.
    judged_slots: Annotated[str, Field(pattern="^A?B?$")] = ""
    factory: bool = False  # a cut in the first boot: nothing that a site gives was asked for
    sample: bool = False  # booted although another boot had decided it
    came_back: bool = False  # whether it was asked to reboot after the probe, and judged again
    selected: Selected | None = None  # by the state, before it was booted
    accelerator: Accelerated = TCG  # what executed the boot's instructions
    asked: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""  # `questions.digest`
    ended: Seconds = 0.0  # since the epoch; 0: nobody knows
    # SHA-256 of the write log that a second cut is in: a state may be booted more than once.
    follows: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""

    def save(self) -> None:
        """Write proof.json; the last file of a proof, so that a proof that has it is complete."""
        content = asdict(self) | {"state": str(self.state)}
        del content["folder"]
        content["seal"] = _seal(content)
        files.write_whole(self.folder / FILE, json.dumps(content).encode() + b"\n")

    @classmethod
    def load(cls, folder: Path, recording: Recording) -> "Proof":
        """Read a proof back; ConfigurationError when there is none, or it is damaged or of another
        recording."""
        file = folder / FILE
        text = file_bytes(file, hint=_AGAIN)
        told = parsed(_ProofHead, text, file, hint=_AGAIN).recording
        if told != recording.id:
            raise ConfigurationError(
                f"{file}: recording: {told:.12} is another one, {recording.folder} is"
                f" {recording.id:.12}",
                hint=_AGAIN,
            )
        content = {**json.loads(text), "folder": str(folder)}
        seal = content.pop("seal", "")
        found = parsed(cls, json.dumps(content).encode(), file, hint=_AGAIN)
        problems = list(found._misfits(recording))
        if seal != _seal({name: each for name, each in content.items() if name != "folder"}):
            problems.append("seal: something was changed after the boot")
        if problems:
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
        if not self.state.is_possible(recording.end):
            which = f"a recording that ends at {recording.end}"
            yield f"state: {str(self.state)[:80]!r} is none of {which}"
        elif self.factory != recording.in_factory(self.state.first.at):
            yield f"factory: {self.factory}, but {self.state} is in {recording.phases[0].name}"
        if bool(self.follows) != self.state.nested:
            yield f"follows: {self.follows or 'no boot'}, of {self.state}"
        if self.accelerator != recording.accelerator:
            yield f"accelerator: {self.accelerator}, the recording is of {recording.accelerator}"
        ends = {Verdict.OLD: {"old"}, Verdict.NEW: {"new"}, Verdict.RECOVERED: {"old", "new"}}
        if self.final not in ends.get(self.verdict, {"old", "new", ""}):
            yield f"final: {self.final!r} is no end that is {self.verdict}"
        if bool(self.broken) != self.verdict.failed or any(each.holds for each in self.broken):
            yield f"broken: {len(self.broken)} invariants do not make {self.verdict}"
        yield from (f"log: {each}" for each in digests.changed(self.folder, {LOG: self.log}))


def _seal(content: dict[str, Any]) -> str:
    """SHA-256 of all else that is in proof.json. No secret: it tells what was patched, not what was
    made up."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _ProofHead:
    recording: Sha256


def proofs(recording: Recording) -> list[Proof]:
    """All complete proofs of a recording, in order: one that follows a cut comes after the proof of
    that cut. ConfigurationError when one is damaged, of another recording, or follows none."""
    folders = [path for path in files.entries(recording.folder / PROOFS) if files.entries(path)]
    found = [Proof.load(path, recording) for path in folders if (path / FILE).exists()]
    states = {proof.state for proof in found}
    for proof in found:
        before = proof.state.before
        if before and before not in states:
            raise ConfigurationError(
                f"{proof.folder}: follows a boot of {before}, of which there is no proof",
                hint="delete the folder, or put the other proof back",
            )
    return sorted(found, key=lambda proof: len(proof.state.cuts))


def prove(
    recording: Recording,
    board: Board,
    state: CrashState,
    state_file: Path,
    folder: Path,
    *,
    comes_back: bool = True,
    sample: bool = False,
    follows: str = "",
) -> Proof:
    """Boot a state (`state_file` is its content, `state` only says which) and judge it.

    `sample`: another boot has decided it already. `comes_back` False leaves out the reboot after
    the probe, except in the factory's first boot, whose question is whether an identity stays.
    `follows`: as in `Proof`.

    The caller holds the board and runs `serving`. LabError when the bench fails: then there is no
    verdict. The board is off afterwards in any case.
    """
    began, log = time.monotonic(), board.can.record
    recording.require_accelerator(log.accelerator, board.name)
    factory = recording.in_factory(state.first.at)
    folder.mkdir(parents=True, exist_ok=True)
    with step("prove", state=str(state), board=board.name):
        log.load_state(state_file, clock=recording.clock, seed=recording.seed)
        judge = _judge(recording, board, factory=factory)
        chosen = selected(recording, judge)
        try:
            board.power_on()
            judgement = _held(chosen, judge.judge(boots_before=0))
            trees = _judged_slots(recording, judge, judgement)
            shutil.copyfile(log.write_log, folder / LOG)
            comes_back = comes_back or factory
            if comes_back and recording.old.product.device:
                judgement = _stays(judge, judgement)
            reads_judged = log.read_set()
            judgement = _with_probe(recording, board, judge, judgement, comes_back=comes_back)
            reads = log.read_set()
        finally:
            board.power_off()
            keep_consoles(board, folder / CONSOLE)
    proof = Proof(
        recording=recording.id,
        state=state,
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
        judged_slots=trees,
        factory=factory,
        sample=sample,
        came_back=probe.BACK in {each.name for each in judgement.invariants},
        selected=chosen,
        asked=_ASKED,
        follows=follows,
        accelerator=log.accelerator,
        ended=time.time(),
    )
    proof.save()
    return proof


def _judge(recording: Recording, board: Board, *, factory: bool) -> Judge:
    """For the state of a device that was provisioned, or not yet: then its identity may be made
    anew, and has to stay from the first look on."""
    return Judge(
        board=board,
        client=client_of(recording.old.product, board),
        old=recording.old,
        new=recording.new,
        flashed=recording.old,
        bad=recording.bad,
        # The probe comes from the device's update server: to ask for that as well costs a second.
        asks_server=False,
        provisioned=not factory,
        identity=Identity() if factory else replace(recording.identity),
    )


def _judged_slots(recording: Recording, judge: Judge, found: Judgement) -> str:
    """The slots whose files the judge asked for: the one that runs, and each that may be booted.
    What the other one holds is asked for by nobody before the probe is written over it."""
    if recording.old.product.slots.content is not ContentCheck.TREE:
        return ""
    selection = judge.medium.selection()
    if selection is None or not found.slot:
        return "".join(Slot)
    asked = (s for s in Slot if s == found.slot or selection.slots[s].state is not SlotState.BAD)
    return "".join(asked)


def _held(chosen: Selected | None, found: Judgement) -> Judgement:
    """The judgement with one more invariant: what runs is what was selected."""
    if chosen is None or found.verdict in _FAILED:
        return found
    return _with(found, chosen.held(found))


def _stays(judge: Judge, found: Judgement) -> Judgement:
    """The judgement with one more invariant: good in the first boot and stuck in the second was
    seen of designs that keep their selection in a file."""
    return found if found.verdict in _FAILED else _with(found, *probe.stays(judge, found))


def _with_probe(
    recording: Recording, board: Board, judge: Judge, found: Judgement, *, comes_back: bool
) -> Judgement:
    """The judgement with two more invariants, unless there is nothing left to ask."""
    if found.verdict in _FAILED:
        return found
    installed = _with(found, probe.install(recording, board, judge))
    if installed.verdict in _FAILED or not comes_back:
        return installed
    return _with(installed, *probe.come_back(recording, judge, found))


def _with(
    found: Judgement, more: Invariant, otherwise: Verdict = Verdict.INCONSISTENT
) -> Judgement:
    """The judgement with one more invariant; the verdict is `otherwise` when it does not hold."""
    return replace(
        found,
        verdict=found.verdict if more.holds else otherwise,
        invariants=(*found.invariants, more),
    )
