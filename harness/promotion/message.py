"""The commit message of a promotion: what, what was there before, why, on which evidence."""

from collections.abc import Sequence

from harness.evidence import explored
from harness.evidence.table import summary_line
from harness.plain import one_line
from harness.promotion.candidate import Candidate
from harness.promotion.gate import Decision
from harness.promotion.ring import Ring


def message(ring: Ring, candidates: Sequence[Candidate]) -> str:
    """The whole message; `candidates` are all that were named, at least one is let in."""
    entering = [candidate for candidate in candidates if candidate.let_in]
    refused = [candidate for candidate in candidates if candidate.refusal]
    lines = [f"{ring}: promote {', '.join(str(candidate.subject) for candidate in entering)}", ""]
    for candidate in entering:
        if len(entering) > 1:
            lines += [f"{candidate.subject.machine}:", ""]
        lines += _promoted(candidate)
    for candidate in refused:
        lines += [f"Not promoted, as the policy lets machines go alone: {candidate.subject}", ""]
        lines += [*(f"  {line}" for line in str(candidate.refusal).splitlines()), ""]
    decisions = [candidate.decision for candidate in entering if candidate.decision]
    lines += [f"Evidence: sha256:{stored.digest}" for d in decisions for stored in d.evidence]
    # Scenarios, boards, runs: texts of others, none of which may begin a line of its own.
    return "\n".join(map(one_line, lines)) + "\n"


def _promoted(candidate: Candidate) -> list[str]:
    decision = candidate.decision
    assert decision is not None  # noqa: S101 - that is what makes it let in
    return [
        f"Before: {candidate.previous or 'nothing'}.",
        f"Why: {len(decision.required)} scenarios that the policy asks for or counts passed for",
        "exactly these digests, and none failed:",
        "",
        *(f"  {name}" for name in decision.required),
        "",
        *(f"  {name:8} sha256 {sha}" for name, sha in decision.subject.digests.items()),
        "",
        *_runs(decision),
        "",
    ]


def _runs(decision: Decision) -> list[str]:
    lines = []
    for stored in decision.evidence:
        header = stored.evidence.header
        old = f" from {header.from_release.version}" if header.from_release else ""
        lines.append(f"Run {header.run}{old} on {header.board}: {summary_line(stored.evidence)}.")
        found = [r for r in stored.evidence.records if r.scenario == explored.SCENARIO]
        lines += [f"  power cuts, explored: {explored.told(record)}" for record in found]
    return lines
