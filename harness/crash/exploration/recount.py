"""Results worked out anew from recording and proofs, compared, and the real readers asked again:
before anybody signs them."""

from dataclasses import fields

from harness.crash.exploration import audit
from harness.crash.exploration.resume import resumed
from harness.crash.exploration.summary import results_of
from harness.crash.recording.recording import Recording
from harness.crash.results.results import FILE, Results
from harness.errors import ConfigurationError
from harness.log import step

_OWN = ("timing", "sha256")  # how long it took, and the file itself
FACTS = tuple(each.name for each in fields(Results) if each.name not in _OWN)


def recount(recording: Recording, found: Results) -> None:
    """ConfigurationError when recording and proofs, all read and hashed, do not come to `found`."""
    recording.verify()
    with step("recount", run=str(recording.folder)):
        exploration = resumed(recording, seed=found.seed, window=found.recording.window)
        if found.counts.nested.cut_points:
            exploration.nest()
        again = results_of(exploration, seconds=0, jobs=1)
    with step("audit", run=str(recording.folder)):
        odd = audit.audit(exploration, exploration.deciding()).odd
    if odd:
        raise ConfigurationError(
            f"{recording.folder / audit.FILE}: the real readers tell more states apart:"
            f" {', '.join(sorted(odd)[:5])}",
            hint=f"explore it again: harness crash explore {recording.folder}",
        )
    if other := [name for name in FACTS if getattr(found, name) != getattr(again, name)]:
        raise ConfigurationError(
            f"{recording.folder / FILE}: {', '.join(other)}: not what recording and proofs come to",
            hint=f"explore it again, the proofs are kept: harness crash explore {recording.folder}",
        )
