"""Promote a release into a ring: one commit that says what, why, and on which evidence."""

from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import PromotionError
from harness.evidence.store import EvidenceStore
from harness.evidence.subject import Subject, read_subject
from harness.evidence.table import summary_line
from harness.log import step
from harness.promotion import gate
from harness.promotion.gate import Decision
from harness.promotion.policy import Policy
from harness.promotion.repository import Repository, cloned
from harness.promotion.ring import Ring, RingState, is_newer

# Each lost race means another promotion landed; more in a row than this is not a race.
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What a promotion did."""

    ring: Ring
    subject: Subject
    previous: str | None  # version the ring had for this machine before
    commit: str | None  # None: already promoted, nothing was done
    decision: Decision | None  # None: already promoted, the gate was not asked again
    attempts: int

    @property
    def already(self) -> bool:
        """Whether the ring held exactly this release before."""
        return self.commit is None

    def __str__(self) -> str:
        if self.already:
            return f"{self.subject} is already in ring {self.ring}"
        before = f", before: {self.previous}" if self.previous else ""
        return (
            f"{self.subject} promoted to ring {self.ring} in commit {str(self.commit)[:12]}{before}"
        )


def promote(
    release_folder: Path,
    *,
    ring: str,
    repo: str,
    store: EvidenceStore,
    allow_older: bool = False,
) -> Promotion:
    """Put the release in `release_folder` into a ring of the release repository `repo`.

    `repo` is a path (bare or a checkout) or any URL that git takes. All files of the release are
    hashed first. Raises ConfigurationError for a damaged release or policy and PromotionError
    when the gate refuses, when the ring has a version that is not older (unless `allow_older`),
    or when git fails.
    """
    wanted = _ring(ring)
    with step("hash release", release=str(release_folder)):
        subject = read_subject(release_folder)
    with step("promote", ring=str(wanted), release=str(subject)), cloned(repo) as repository:
        for attempt in range(1, _ATTEMPTS + 1):
            repository.refresh()
            promotion = _prepare(repository, subject, wanted, store, allow_older=allow_older)
            if promotion.already or repository.push():
                return replace(promotion, attempts=attempt)
    raise PromotionError(
        f"{repo}: other pushes came first {_ATTEMPTS} times",
        hint="try again when the repository is quieter; nothing was changed",
    )


def decide(subject: Subject, ring: Ring, repository: Repository, store: EvidenceStore) -> Decision:
    """The gate's decision under the policy and rings that the repository has now."""
    policy = Policy.load(repository.folder)
    decision = gate.check(subject, ring, policy, store)
    before = policy.rings[ring].requires_ring if ring in policy.rings else None
    if before is None or _state(repository, before).holds(subject):
        return decision
    line = f"ring {before}: must hold exactly this release first"
    return replace(decision, missing=(line, *decision.missing))


def _prepare(
    repository: Repository,
    subject: Subject,
    ring: Ring,
    store: EvidenceStore,
    *,
    allow_older: bool,
) -> Promotion:
    """Check against the repository as it is now, and commit in the clone."""
    state = _state(repository, ring)
    current = state.machines.get(subject.machine)
    previous = current.version if current else None
    done = Promotion(
        ring=ring, subject=subject, previous=previous, commit=None, decision=None, attempts=0
    )
    if state.holds(subject):
        return done
    decision = decide(subject, ring, repository, store)
    if not decision.allowed:
        raise decision.refusal()
    if previous is not None and not allow_older and not is_newer(subject.version, previous):
        raise _not_newer(subject, ring, previous)
    digests = tuple(stored.digest for stored in decision.evidence)
    for stored in decision.evidence:
        repository.write(f"evidence/{stored.digest}.json", stored.envelope)
    repository.write(ring.file, state.with_release(subject, digests).text().encode())
    commit = repository.commit(_message(decision, previous))
    return replace(done, commit=commit, decision=decision)


def _message(decision: Decision, previous: str | None) -> str:
    """The commit message: what, why, on which evidence."""
    lines = [
        f"{decision.ring}: promote {decision.subject}",
        "",
        f"Before: {previous or 'nothing'}.",
        f"Why: {len(decision.required)} scenarios that the policy asks for or counts passed for",
        "exactly these digests, and none failed:",
        "",
        *(f"  {name}" for name in decision.required),
        "",
        *(f"  {name:8} sha256 {sha}" for name, sha in decision.subject.digests.items()),
        "",
    ]
    for stored in decision.evidence:
        header = stored.evidence.header
        old = f" from {header.from_release.version}" if header.from_release else ""
        lines.append(f"Run {header.run}{old} on {header.board}: {summary_line(stored.evidence)}.")
    lines += ["", *(f"Evidence: sha256:{stored.digest}" for stored in decision.evidence)]
    return "\n".join(lines) + "\n"


def _state(repository: Repository, ring: Ring) -> RingState:
    text = repository.read(ring.file)
    return RingState() if text is None else RingState.parse(text, what=ring.file)


def _ring(name: str) -> Ring:
    try:
        return Ring(name)
    except ValueError:
        raise PromotionError(
            f"no ring is called {name!r}", hint=f"rings are: {', '.join(Ring)}"
        ) from None


def _not_newer(subject: Subject, ring: Ring, previous: str) -> PromotionError:
    if subject.version == previous:
        what = f"ring {ring} has another {subject.machine} {previous} with different content"
        hint = "give the new content a new version"
    else:
        what = f"{subject} is not newer than {previous}, which ring {ring} has"
        hint = "a step back must be asked for: --allow-older"
    return PromotionError(what, hint=f"{hint} (nothing was changed)")
