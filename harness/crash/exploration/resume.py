"""An exploration as it stands: recording, proofs, audit, and what it has taken of others. It boots
nothing, and needs no board."""

from harness.crash.exploration import audit, carried, questions
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
    known: set[CrashState | None] = {None}
    left_out = 0
    for proof in proofs(recording):
        if not exploration.fits(proof):
            continue
        if proof.asked != questions.digest() or proof.state.before not in known:
            left_out += 1
            continue
        known.add(proof.state)
        exploration.add(proof, sample=proof.sample)
    if left_out:
        emit("left-out", run=str(recording.folder), boots_of_another_harness=left_out)
    if made := audit.load(recording):
        exploration.tell_apart(state for state in map(parse, made.odd) if state.before in known)
    return exploration
