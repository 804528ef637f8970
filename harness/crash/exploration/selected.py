"""What a crash state selects: the version that the bootloader is to boot, read before it does.

A board that comes back is not enough: it must come back with what was selected. A version on trial
that falls back to the other one has failed, unless it is the bad one that a recording rolled back.
docs/crash.md has the rule with its reasons.
"""

from dataclasses import dataclass

from harness.clients.boot_selection import Slot, SlotState
from harness.crash.recording.recording import Recording
from harness.judge.judge import Judge
from harness.judge.verdict import Invariant, Judgement

NAME = "selected-version"  # the invariant


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The slot that the next boot is to try."""

    slot: str
    state: str  # good or trial; bad where no slot is better
    left: int  # attempts, before that boot
    holds: str  # old, new or bad; "" for anything else
    trials: bool = (
        True  # whether a boot selection of this kind tells a trial from what is committed
    )

    def __str__(self) -> str:
        return f"slot {self.slot} ({self.state}/{self.left}, {self.holds or 'no known version'})"

    @property
    def must_stay(self) -> bool:
        """Whether the board must end in it: a bad version on trial goes back by itself."""
        on_trial = self.state == SlotState.TRIAL or not self.trials
        return not (self.holds == "bad" and on_trial)

    def held(self, found: Judgement) -> Invariant:
        """Whether a board that came up runs what was selected, however many boots it took."""
        told = f"the state selects {self}; after {found.boots} boots {found.final} runs from slot "
        ends = {self.slot} if self.must_stay else {Slot(self.slot).other, self.slot}
        holds = found.slot in ends
        return Invariant(name=NAME, holds=holds, detail="" if holds else f"{told}{found.slot}")


def selected(recording: Recording, judge: Judge) -> Selected | None:
    """What the medium of a board that is off selects; None when both copies are torn: then there is
    nothing to hold it to."""
    selection = judge.medium.selection()
    if selection is None:
        return None
    slot = selection.primary
    choice = selection.slots[slot]
    holds = judge.medium.content(slot)
    return Selected(
        slot=str(slot),
        state=str(choice.state),
        left=choice.left,
        holds=holds,
        trials=recording.old.product.selection is None,
    )
