"""Where each sector of a crash state comes from: base image, recording, and the boots between."""

from collections.abc import Sequence

from harness.crash.exploration.prove import Proof
from harness.crash.recording.recording import LOG, Recording
from harness.crash.states.cut import CrashState
from harness.crash.states.sources import Sources, cut_off
from harness.medium.model import Model


def sources(recording: Recording, state: CrashState, proofs: Sequence[Proof]) -> Sources:
    """A state of the recording, or of the boot of one of the proofs.

    A nested state needs the proof of the state before it: its boot's log. StopIteration without it.
    """
    if state.before is None:
        found, log = Sources(recording.base.stat().st_size, recording.base), recording.log
    else:
        found = sources(recording, state.before, proofs)
        log = next(p.folder / LOG for p in proofs if p.state == state.before)
    cut_off(found, log, Model(recording.model), state.last)
    return found
