"""The boot selection as data: what the bootloader will try, in which order, how often.

It is parsed from what the device says (`boot-selection show`) and, independent of the software
under test, from the sectors of the medium (`harness.clients.selection_format`). Both say the same
words for every bootloader: docs/boot-selection.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.product.promises import MOST_ATTEMPTS, Promises

ATTEMPTS = Promises().attempts  # that a slot gets, unless its product promises another number
KEYS = ("gen_head", "order", "A_state", "A_left", "B_state", "B_left", "gen_tail")


class Slot(StrEnum):
    """One of the two places a version can be installed in."""

    A = "A"
    B = "B"

    @property
    def other(self) -> "Slot":
        """The slot that an update is installed in while this one runs."""
        return Slot.B if self is Slot.A else Slot.A

    @property
    def region(self) -> str:
        """Its name in a release's layout."""
        return f"slot-{self}"


class SlotState(StrEnum):
    """What is known of the version in a slot."""

    GOOD = "good"  # committed
    TRIAL = "trial"  # installed, not yet committed
    BAD = "bad"  # not to be booted


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotChoice:
    """A slot's part of the boot selection."""

    state: SlotState
    left: int  # boot attempts left

    @property
    def bootable(self) -> bool:
        """Whether the bootloader considers the slot at first."""
        return self.state is not SlotState.BAD and self.left > 0

    def __str__(self) -> str:
        return f"{self.state}/{self.left}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootSelection:
    """Order of the slots, and what each is worth. Prints as `B>A A=good/3 B=trial/2 gen 7`.

    Two are equal when they say the same; `copies_ok` only tells how they were found.
    """

    order: tuple[Slot, Slot]
    slots: Mapping[str, SlotChoice]  # by Slot, which is a letter
    generation: int
    copies_ok: tuple[bool, bool] | None = field(default=None, compare=False)  # None: not asked
    otherwise: Slot | None = field(default=None, compare=False)  # booted when none is bootable

    @property
    def primary(self) -> Slot:
        """The slot that the bootloader boots next.

        When none has attempts left, it gives those that are not bad their attempts back, or boots
        the one that it always boots then.
        """
        bootable = [slot for slot in self.order if self.slots[slot].bootable]
        if self.otherwise and not bootable:
            return self.otherwise
        not_bad = [slot for slot in self.order if self.slots[slot].state is not SlotState.BAD]
        return (bootable or not_bad or list(self.order))[0]

    @property
    def on_trial(self) -> Slot | None:
        """The slot whose version waits to be committed, None when there is none."""
        trials = [slot for slot in self.order if self.slots[slot].state is SlotState.TRIAL]
        return trials[0] if trials else None

    def __str__(self) -> str:
        slots = " ".join(f"{slot}={self.slots[slot]}" for slot in Slot)
        copies = "".join(
            f", copy {number} bad" for number, ok in enumerate(self.copies_ok or (), 1) if not ok
        )
        return f"{'>'.join(self.order)} {slots} gen {self.generation}{copies}"

    @classmethod
    def parse(
        cls, variables: Mapping[str, str], *, attempts: int = MOST_ATTEMPTS
    ) -> "BootSelection":
        """From variables as `boot-selection show` names them; raises ValueError naming the key.

        `copy1` and `copy2` may be missing: then `copies_ok` is None. `attempts`: that a slot gets.
        """
        missing = [key for key in KEYS if key not in variables]
        if missing:
            raise ValueError(f"boot selection without {', '.join(missing)}")
        if variables["gen_head"] != variables["gen_tail"]:
            raise ValueError("boot selection is torn: gen_head and gen_tail differ")
        order = tuple(Slot(name) for name in variables["order"].split(" "))
        if len(order) != 2 or order[0] is order[1]:
            raise ValueError(f"boot selection: order={variables['order']} does not name each slot")
        copies = [variables.get(copy) for copy in ("copy1", "copy2")]
        return cls(
            order=(order[0], order[1]),
            slots={slot: _choice(variables, slot, attempts) for slot in Slot},
            generation=_number(variables, "gen_head", r"\d{1,10}"),
            copies_ok=(copies[0] == "ok", copies[1] == "ok") if all(copies) else None,
        )

    @classmethod
    def parse_show(cls, text: str) -> "BootSelection":
        """From the `key=value` lines of `boot-selection show`; raises ValueError."""
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
        return cls.parse({key: value for key, _, value in pairs})


Copies = tuple[BootSelection | None, ...]  # on the medium, one or two; None: torn


def _choice(variables: Mapping[str, str], slot: Slot, attempts: int) -> SlotChoice:
    state = variables[f"{slot}_state"]
    if state not in list(SlotState):
        raise ValueError(f"boot selection: {slot}_state={state} is no state")
    left = _number(variables, f"{slot}_left", f"[0-{attempts}]")
    return SlotChoice(state=SlotState(state), left=left)


def _number(variables: Mapping[str, str], key: str, form: str) -> int:
    if not re.fullmatch(form, variables[key]):
        raise ValueError(f"boot selection: {key}={variables[key]} is not in the format")
    return int(variables[key])
