"""Which of the proofs that lie there count."""

from collections.abc import Iterable, Iterator

from harness.crash.exploration import questions
from harness.crash.exploration.prove import Proof
from harness.crash.states.cut import CrashState


def counting(found: Iterable[Proof]) -> Iterator[Proof]:
    """Those that were asked what this harness asks; of second cuts those in a boot that counts
    itself. Of several boots of one state the first is the one that others follow: what another one
    wrote is another state."""
    logs: dict[CrashState | None, str] = {None: ""}
    for proof in found:
        if proof.asked == questions.digest() and logs.get(proof.state.before) == proof.follows:
            logs.setdefault(proof.state, proof.log.sha256)
            yield proof
