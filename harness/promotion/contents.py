"""What the release repository says at one moment: its policy, what its rings hold, and what they
have ever held."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness import version
from harness.errors import ConfigurationError
from harness.evidence.subject import Digests, Subject
from harness.promotion.policy import Policy, Read
from harness.promotion.ring import Promoted, Ring, RingState


@dataclass(frozen=True, slots=True, kw_only=True)
class RingContents:
    """Policy and rings, of one commit; `earlier`: what each ring held before, newest first."""

    policy: Policy
    rings: dict[Ring, RingState]
    earlier: dict[Ring, list[RingState]] = field(default_factory=dict)

    @classmethod
    def read(cls, read: Read, history: Callable[[str], list[str]]) -> "RingContents":
        """All of it, by functions that give a file's text and all that it has ever had. Raises
        ConfigurationError; what cannot be read any more of the past has nothing to say."""
        texts = {ring: read(ring.file) for ring in Ring}
        earlier: dict[Ring, list[RingState]] = {ring: [] for ring in Ring}
        for ring in Ring:
            for text in history(ring.file):
                with contextlib.suppress(ConfigurationError):
                    earlier[ring].append(RingState.parse(text, what=ring.file))
        return cls(
            policy=Policy.load(read),
            rings={
                ring: RingState() if text is None else RingState.parse(text, what=ring.file)
                for ring, text in texts.items()
            },
            earlier=earlier,
        )

    def held(self, ring: Ring, machine: str) -> Promoted | None:
        """What a ring has for a machine."""
        return self.rings[ring].machines.get(machine)

    def had(self, machine: str, version: str) -> list[Digests]:
        """Every content of a version that any ring has for a machine, or once had."""
        states = [*self.rings.values(), *(each for ring in self.earlier.values() for each in ring)]
        held = [state.machines.get(machine) for state in states]
        return [each.digests for each in held if each and each.version == version]

    def in_the_way(self, subject: Subject, ring: Ring, *, allow_older: bool) -> list[str]:
        """Why the version of `subject` may not go in: a ring has or had other content under it
        (which is for good: one version is one content), or `ring` has a later one."""
        told = list(self._other_contents(subject))
        there = self.held(ring, subject.machine)
        if there and not allow_older and version.is_newer(there.version, subject.version):
            what = f"{subject} is not newer than {there.version}, which ring {ring} has"
            told.append(f"{what}: a step back must be asked for (--allow-older)")
        return told

    def _other_contents(self, subject: Subject) -> Iterator[str]:
        """A line for each ring that has, or once had, another content of that version."""
        for ring in Ring:
            for state in (self.rings[ring], *self.earlier.get(ring, [])):
                there = state.machines.get(subject.machine)
                if there is None or there.digests == subject.digests:
                    continue
                if version.is_same(there.version, subject.version):
                    has = "has" if state is self.rings[ring] else "had"
                    what = f"ring {ring} {has} another {subject.machine} {there.version}"
                    yield f"{what} with different content: give yours a new version"
                    break
