"""Promote releases into a ring: one commit that says what, why, and on which evidence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import PromotionError
from harness.evidence.store import EvidenceStore
from harness.evidence.subject import Subject, read_subject
from harness.log import step
from harness.plain import without_credentials
from harness.promotion import gate
from harness.promotion.candidate import Candidate, check_together, left_behind, refusal_of
from harness.promotion.contents import RingContents
from harness.promotion.message import message
from harness.promotion.repository import Repository, cloned
from harness.promotion.ring import Ring

# Each lost race means another promotion landed; more in a row than this is not a race.
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What a promotion did, for each release that was named."""

    ring: Ring
    candidates: tuple[Candidate, ...]
    commit: str | None  # None: nothing was to be done
    attempts: int = 0

    @property
    def already(self) -> bool:
        """Whether the ring held exactly these releases before."""
        return self.commit is None

    @property
    def refusal(self) -> PromotionError | None:
        """What is in the way of the releases that were not let in, though others were: under a
        policy that is `partial`."""
        refused = [candidate for candidate in self.candidates if candidate.refusal]
        if not refused:
            return None
        names = ", ".join(str(candidate.subject) for candidate in refused)
        return PromotionError(
            f"{names} not let into ring {self.ring}; promoted in commit {str(self.commit)[:12]}: "
            + ", ".join(str(each.subject) for each in self.candidates if each.let_in),
            details="\n".join(
                f"{each.refusal.brief}\n{each.refusal.details}".rstrip()
                for each in refused
                if each.refusal
            ),
            hint="\n".join(dict.fromkeys(each.refusal.hint for each in refused if each.refusal)),
        )

    def __str__(self) -> str:
        return "\n".join(self._told(candidate) for candidate in self.candidates)

    def _told(self, candidate: Candidate) -> str:
        if candidate.already:
            return f"{candidate.subject} is already in ring {self.ring}"
        if candidate.refusal:
            return f"{candidate.subject} not promoted"
        before = f", before: {candidate.previous}" if candidate.previous else ""
        commit = str(self.commit)[:12]
        return f"{candidate.subject} promoted to ring {self.ring} in commit {commit}{before}"


def promote(
    *release_folders: Path,
    ring: str,
    repo: str,
    store: EvidenceStore,
    allow_older: bool = False,
) -> Promotion:
    """Put releases, one a machine and all of one version, into a ring of the repository `repo`.

    `repo` is a path (bare or a checkout) or any URL that git takes. All files of the releases are
    hashed first. Raises ConfigurationError for a damaged release or policy and PromotionError
    when the gate refuses, when machines of the ring would be left behind, or when git fails: the
    error says what the ring has then. `allow_older` lets in what is older than the ring's version.
    Under a policy that is `partial`, what is refused does not keep the others out: see
    `Promotion.refusal`.
    """
    wanted = _ring(ring)
    subjects = []
    for folder in release_folders:
        with step("hash release", release=str(folder)):
            subjects.append(read_subject(folder))
    check_together(subjects)
    names = ", ".join(map(str, subjects))
    with step("promote", ring=str(wanted), release=names), cloned(repo) as repository:
        for attempt in range(1, _ATTEMPTS + 1):
            repository.refresh()
            promotion = _prepare(repository, subjects, wanted, store, allow_older=allow_older)
            if promotion.already or repository.push():
                return replace(promotion, attempts=attempt)
    raise PromotionError(
        f"{without_credentials(repo)}: other pushes came first {_ATTEMPTS} times",
        hint="try again when the repository is quieter; nothing was changed",
    )


def _prepare(
    repository: Repository,
    subjects: Sequence[Subject],
    ring: Ring,
    store: EvidenceStore,
    *,
    allow_older: bool,
) -> Promotion:
    """Check against the repository as it is now, and commit in the clone."""
    contents = RingContents.read(repository.read, repository.history)
    state, asked = contents.rings[ring], contents.policy.rings.get(ring)
    candidates = [
        _candidate(subject, ring, contents, store, allow_older=allow_older) for subject in subjects
    ]
    if all(candidate.already for candidate in candidates):
        return Promotion(ring=ring, candidates=tuple(candidates), commit=None)
    behind = left_behind(candidates, asked, ring, state) if asked else None
    entering = [candidate for candidate in candidates if candidate.let_in]
    refused = any(candidate.refusal for candidate in candidates)
    partly = asked is not None and asked.partial and entering
    if behind or (refused and not partly):
        raise refusal_of(candidates, ring, behind)
    for candidate in entering:
        evidence = candidate.decision.evidence if candidate.decision else ()
        for stored in evidence:
            repository.write(f"evidence/{stored.digest}.json", stored.envelope)
        state = state.with_release(candidate.subject, tuple(stored.digest for stored in evidence))
    repository.write(ring.file, state.text().encode())
    commit = repository.commit(message(ring, candidates))
    return Promotion(ring=ring, candidates=tuple(candidates), commit=commit)


def _candidate(
    subject: Subject, ring: Ring, contents: RingContents, store: EvidenceStore, *, allow_older: bool
) -> Candidate:
    """What becomes of one release under the policy and rings that the repository has now."""
    current = contents.held(ring, subject.machine)
    previous = current.version if current else None
    if contents.rings[ring].holds(subject):
        return Candidate(subject=subject, previous=previous, decision=None)
    decision = gate.check(subject, ring, contents, store, allow_older=allow_older)
    refusal = None if decision.allowed else decision.refusal()
    return Candidate(subject=subject, previous=previous, decision=decision, refusal=refusal)


def _ring(name: str) -> Ring:
    try:
        return Ring(name)
    except ValueError:
        raise PromotionError(
            f"no ring is called {name!r}", hint=f"rings are: {', '.join(Ring)}"
        ) from None
