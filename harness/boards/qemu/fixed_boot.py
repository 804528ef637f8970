"""Boots that are as alike as QEMU can make them: the clock and the random numbers they start with.

QEMU's real-time clock then runs on the machine's time (`clock=vm`), which begins when the machine
does, not with the host's; `-seed` is where its random numbers begin (firmware seeds, ASLR of the
guest's loader). What the guest takes from its own timing stays different.
"""

import math
import random
import time
from datetime import UTC, datetime, timedelta

_STEP = 600.0  # seconds from the clock of one boot to that of the next, or a multiple of it


class FixedBoots:
    """The n-th boot begins with the same clock and seed, each time that one is made.

    The clock never goes back: each boot starts a whole number of 10 minutes after the one before,
    and not before that one has ended.
    """

    def __init__(self, clock: datetime, seed: int) -> None:
        """`clock`: of the first boot, with a time zone; `seed`: from 0."""
        self._clock = clock.astimezone(UTC)
        self._seed = seed
        self._started: float | None = None  # the running boot, on the monotonic clock

    def begin_boot(self) -> None:
        """The next boot begins now."""
        now = time.monotonic()
        if self._started is not None:
            steps = max(1, math.ceil((now - self._started) / _STEP))
            self._clock += timedelta(seconds=steps * _STEP)
            self._seed += 1
        self._started = now

    @property
    def arguments(self) -> list[str]:
        """QEMU's arguments for this boot."""
        base = self._clock.strftime("%Y-%m-%dT%H:%M:%S")
        return ["-rtc", f"base={base},clock=vm", "-seed", str(self._seed)]

    def random(self, count: int) -> bytes:
        """Bytes for this boot, the same each time."""
        return random.Random(self._seed).randbytes(count)  # noqa: S311  (to be repeated)
