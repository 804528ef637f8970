"""Releases that ask to be let into a ring together, one a machine: who may, who may not, and why.

The gate decides about each. Here is what it cannot know: whether the machines of the ring stay at
one version.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import ConfigurationError, PromotionError
from harness.evidence.subject import Subject
from harness.promotion.gate import Decision
from harness.promotion.policy import RingPolicy
from harness.promotion.ring import Ring, RingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A release at the gate, and what became of it there."""

    subject: Subject
    previous: str | None  # version the ring has for this machine
    decision: Decision | None  # None: the ring holds exactly this release, nobody was asked
    refusal: PromotionError | None = None

    @property
    def already(self) -> bool:
        """Whether the ring held exactly this release before."""
        return self.decision is None

    @property
    def let_in(self) -> bool:
        """Whether the ring is to be changed for it."""
        return self.decision is not None and self.refusal is None


def check_together(subjects: Sequence[Subject]) -> None:
    """Raises ConfigurationError unless these are one version, each for another machine."""
    machines = [subject.machine for subject in subjects]
    problems = [
        f"{machines.count(machine)} releases are for {machine}: name one"
        for machine in dict.fromkeys(machines)
        if machines.count(machine) > 1
    ]
    if len({subject.version for subject in subjects}) > 1:
        told = ", ".join(str(subject) for subject in subjects)
        problems.append(f"one promotion is one version of all machines, not {told}")
    if problems:
        raise ConfigurationError.of("harness promote", problems)


def left_behind(
    candidates: Sequence[Candidate], asked: RingPolicy, ring: Ring, state: RingState
) -> PromotionError | None:
    """The refusal of a promotion that names too few releases: machines of the ring that would
    stay at another version, under a policy that is not `partial`."""
    if asked.partial:
        return None
    version = candidates[0].subject.version
    named = {candidate.subject.machine for candidate in candidates}
    lines = []
    for machine in asked.machines:
        held = state.machines.get(machine)
        if machine not in named and (held is None or held.version != version):
            has = f"has {held.version}" if held else "has nothing"
            lines.append(
                f"  missing: {machine}: ring {ring} {has} for it, and no {version} is named"
            )
    if not lines:
        return None
    return PromotionError(
        f"{_told(candidates)} is not let into ring {ring} alone",
        details="\n".join(lines),
        hint="name the releases of all machines in one promotion: harness promote RELEASE "
        f"RELEASE..., or let machines go alone: rings.{ring}.partial: true in policy.yaml",
    )


def refusal_of(
    candidates: Sequence[Candidate], ring: Ring, more: PromotionError | None = None
) -> PromotionError:
    """One error for all that is in the way of a promotion (at least one thing is)."""
    errors = [candidate.refusal for candidate in candidates if candidate.refusal]
    errors += [more] if more else []
    if len(errors) == 1 and (more or len(candidates) == 1):
        return errors[0]
    lines = [line for error in errors for line in (error.brief, error.details) if line]
    ready = [candidate for candidate in candidates if candidate.let_in]
    lines += [f"{candidate.subject}: nothing is in its way" for candidate in ready]
    version = candidates[0].subject.version
    return PromotionError(
        f"{version} is not promoted to ring {ring}: nothing was changed",
        details="\n".join(lines),
        hint="\n".join(dict.fromkeys(error.hint for error in errors)),
    )


def _told(candidates: Sequence[Candidate]) -> str:
    return ", ".join(str(candidate.subject) for candidate in candidates)
