"""The words in which a board's end is judged; every other part speaks them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from harness.judge.services import Services


class Verdict(StrEnum):
    """How a board ended; only the last two are failures."""

    OLD = "old"  # runs the old version, healthy
    NEW = "new"  # runs the new version, healthy
    RECOVERED = "recovered"  # reached old or new, but only after further automatic boots
    BRICKED = "bricked"  # no healthy system within the boot budget without outside help
    INCONSISTENT = "inconsistent"  # it runs, but an invariant is broken

    @property
    def failed(self) -> bool:
        """Whether no release may ship with it."""
        return self in (Verdict.BRICKED, Verdict.INCONSISTENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """Something that must hold whatever happened; `detail` says what was seen when it did not."""

    name: str
    holds: bool
    detail: str = ""

    @classmethod
    def of(cls, name: str, holds: bool, seen: str) -> Self:
        """What was `seen` is only worth telling when it does not hold."""
        return cls(name=name, holds=holds, detail="" if holds else seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotChecked:
    """An invariant that nobody could look at, and why: never one that holds."""

    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of the board, what was checked for that, and what could not be. `services`: what
    ran when it was asked; None of one that was not."""

    verdict: Verdict
    final: str  # "old", "new", or "" where nothing known runs
    boots: int
    invariants: tuple[Invariant, ...]
    slot: str = ""  # that it runs from, "" where nobody could say
    not_checked: tuple[NotChecked, ...] = ()
    services: Services | None = None

    @classmethod
    def by(
        cls,
        invariants: Sequence[Invariant],
        *,
        final: str,
        boots: int,
        slot: str,
        not_checked: Sequence[NotChecked] = (),
    ) -> Self:
        """The one that follows for a board that is up: what runs is known, and all holds."""
        verdict = Verdict.INCONSISTENT
        if final and all(each.holds for each in invariants):
            verdict = Verdict(final) if boots <= 1 else Verdict.RECOVERED
        return cls(
            verdict=verdict,
            final=final,
            boots=boots,
            invariants=tuple(invariants),
            slot=slot,
            not_checked=tuple(not_checked),
        )

    def without(self, name: str, why: str) -> "Judgement":
        """The same with that invariant not looked at; everything else must hold."""
        others = [each for each in self.invariants if each.name != name]
        left = (*self.not_checked, NotChecked(name=name, why=why))
        if self.verdict is not Verdict.INCONSISTENT:
            return replace(self, invariants=tuple(others), not_checked=left)
        return Judgement.by(
            others, final=self.final, boots=self.boots, slot=self.slot, not_checked=left
        )
