"""A boot that decides states: its proof, and what of it is needed to compare states with it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.crash.equivalence.footprint import Mask
from harness.crash.exploration.prove import Proof
from harness.crash.states.disk_content import DiskContent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Booted:
    """`read_bits`: what it depends on (`Exploration.dependence`), eight sectors a byte."""

    proof: Proof
    read_bits: npt.NDArray[np.uint8]
    slots: tuple[str, ...]  # what filled slot A, B
    content: DiskContent  # the whole state
    # What it read only after the judge's verdict: for the probe, and to come back from it.
    late_bits: npt.NDArray[np.uint8]
    sample: bool = False
    carried: bool = False  # of another recording (`carried`)

    @property
    def reads(self) -> Mask:
        """What it read before it wrote it; with a few sectors too many at the end of the disk."""
        return np.unpackbits(self.read_bits).view(np.bool_)

    @property
    def late(self) -> Mask:
        """The same of what it read late."""
        return np.unpackbits(self.late_bits).view(np.bool_)

    @property
    def nested(self) -> bool:
        """Whether it followed a second cut."""
        return self.proof.state.nested
