"""An exploration as it stands: recording, proofs, audit, and what it has taken of others. It boots
nothing, and needs no board."""

from harness.crash.exploration import audit, carried
from harness.crash.exploration.counting import counting
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.prove import proofs
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import CrashState, parse
from harness.log import emit


def resumed(recording: Recording, *, seed: int, window: int = 0) -> Exploration:
    """An exploration with all boots that have been made of its recording, with that cache, and
    those of other ones that it has taken (`carried`).

    Boots that another harness has made, which may have asked less, count for nothing; nor do those
    that followed one of them."""
    exploration = Exploration(recording, seed=seed, window=window)
    carried.carry(exploration)
    there = [proof for proof in proofs(recording) if exploration.fits(proof)]
    known: set[CrashState | None] = {None}
    for proof in counting(there):
        known.add(proof.state)
        exploration.add(proof, sample=proof.sample)
    if left_out := len(there) - len(exploration.booted):
        emit("left-out", run=str(recording.folder), boots_of_another_harness=left_out)
    if made := audit.load(recording):
        exploration.tell_apart(state for state in map(parse, made.odd) if state.before in known)
    return exploration
