"""Where each sector of a crash state comes from: base image, recording, and the boots between."""

from collections.abc import Sequence

from harness.crash.exploration.prove import Proof
from harness.crash.recording.recording import LOG, Recording
from harness.crash.states.cut import CrashState
from harness.crash.states.sources import Sources, cut_off
from harness.medium.model import Model


def sources(
    recording: Recording, state: CrashState, proofs: Sequence[Proof], *, follows: str = ""
) -> Sources:
    """A state of the recording, or of the boot of one of the proofs (`followed`)."""
    if state.before is None:
        found, log = Sources(recording.base.stat().st_size, recording.base), recording.log
    else:
        found = sources(recording, state.before, proofs)
        log = followed(state, proofs, follows).folder / LOG
    cut_off(found, log, Model(recording.model), state.last)
    return found


def followed(state: CrashState, proofs: Sequence[Proof], log: str = "") -> Proof:
    """The boot that a nested state's cut is in: of several of the state before it the one with that
    write log (SHA-256), or the first. StopIteration where there is none."""
    return next(p for p in proofs if p.state == state.before and log in ("", p.log.sha256))
