"""Where each sector of a crash state comes from: base image, recording, and the boots between."""

from collections.abc import Iterable

from harness.crash.exploration.prove import Proof
from harness.crash.recording.recording import Recording
from harness.crash.states.cut import Sources, cut_off, parse
from harness.medium.model import Model


def sources(recording: Recording, state: str, proofs: Iterable[Proof]) -> Sources:
    """A state of the recording, or of the boot of one of the proofs.

    A nested state needs the proof of the state before it: its boot's log. StopIteration without it.
    """
    first, *more = parse(state)
    found = Sources(recording.base.stat().st_size, recording.base)
    cut_off(found, recording.log, Model(recording.model), first)
    prefix = str(first)
    for cut in more:
        log = next(p.folder / "log.bin" for p in proofs if p.state == prefix)
        cut_off(found, log, Model(recording.model), cut)
        prefix = f"{prefix}>{cut}"
    return found
