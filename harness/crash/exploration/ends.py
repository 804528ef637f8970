"""What a cut may end in: which version may run from which slot, by where in the update it was."""

from harness.crash.exploration.prove import Proof
from harness.crash.recording.recording import Recording
from harness.judge.verdict import Verdict

_ORDER = list(Verdict)  # best first


def verdict_of(recording: Recording, at: int, proof: Proof) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict of a cut at a log position whose state ends as `proof` did, and why it fails.

    A board must not only be healthy: it must run what was selected. Before anything was switched
    that is the old version, a version that has been committed must stay, and what is only being
    installed must not run at all.
    """
    why = tuple(f"{each.name}: {each.detail}" for each in proof.broken)
    allowed = allowed_ends(recording, at)
    if proof.final and (proof.final, proof.slot) not in allowed:
        wanted = " or ".join(f"{final} in slot {slot}" for final, slot in sorted(allowed))
        told = f"final-version: ended in {proof.final} in slot {proof.slot}, not in {wanted}"
        return max(proof.verdict, Verdict.INCONSISTENT, key=_ORDER.index), (told, *why)
    return proof.verdict, why


def allowed_ends(recording: Recording, at: int) -> set[tuple[str, str]]:
    """Which version may run from which slot after a cut at a log position.

    The old version is in slot A; the new one goes into B, and, once that is committed, into A, too,
    where it is not to stay.
    """
    starts = {phase.name: phase.start for phase in recording.phases}
    end = recording.end + 1
    old, new, again = ("old", "A"), ("new", "B"), ("new", "A")
    if at <= starts.get("switch", end):
        return {old}
    if at <= starts.get("settled", end):
        return {old, new}
    if starts.get("switch-2", end) < at <= starts.get("bootloader-3", end):
        return {new, again}
    return {new}
