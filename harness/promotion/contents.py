"""What the release repository says at one moment: its policy, and what its rings hold."""

from dataclasses import dataclass

from harness import version
from harness.evidence.subject import Subject
from harness.promotion.policy import Policy, Read
from harness.promotion.ring import Promoted, Ring, RingState


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Policy and rings, of one commit."""

    policy: Policy
    rings: dict[Ring, RingState]

    @classmethod
    def read(cls, read: Read) -> "Contents":
        """All of it, by a function that reads files. Raises ConfigurationError."""
        texts = {ring: read(ring.file) for ring in Ring}
        return cls(
            policy=Policy.load(read),
            rings={
                ring: RingState() if text is None else RingState.parse(text, what=ring.file)
                for ring, text in texts.items()
            },
        )

    def held(self, ring: Ring, machine: str) -> Promoted | None:
        """What a ring has for a machine."""
        return self.rings[ring].machines.get(machine)

    def in_the_way(self, subject: Subject, ring: Ring, *, allow_older: bool) -> list[str]:
        """Why the version of `subject` may not go in: a ring has other content under it (which is
        for good: one version is one content), or `ring` has a later one."""
        told = []
        for each in Ring:
            there = self.held(each, subject.machine)
            if there is None:
                continue
            if version.is_same(there.version, subject.version):
                what = f"ring {each} has another {subject.machine} {there.version}"
                why = f"{what} with different content: give yours a new version"
                told += [why] if there.digests != subject.digests else []
            elif each is ring and version.is_newer(there.version, subject.version):
                what = f"{subject} is not newer than {there.version}, which ring {ring} has"
                why = f"{what}: a step back must be asked for (--allow-older)"
                told += [] if allow_older else [why]
        return told
