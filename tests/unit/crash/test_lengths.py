"""How many real cuts it takes to meet a phase."""

from pathlib import Path

import pytest

from harness.crash.recording.log import opened
from harness.crash.results.lengths import PhaseLength, phase_lengths
from tests.unit.crash import recordings


@pytest.mark.parametrize(
    ("seconds", "random", "jitter", "aimed"),
    [(0.02, 17973, 0.05, 18), (0.02, 17973, 0.005, 1), (60.0, 5, 0.05, 1), (0.0, 0, 0.05, 0)],
)
def test_cuts_that_meet_a_phase(seconds: float, random: int, jitter: float, aimed: int) -> None:
    phase = PhaseLength(name="switch", seconds=seconds, of=120.0)
    assert (phase.random, phase.aimed(jitter)) == (random, aimed)
    assert phase.aimed(0) == 1


def test_phases_have_the_length_that_the_log_tells(tmp_path: Path) -> None:
    found = recordings.recording(tmp_path)
    lengths = phase_lengths(found)
    assert [each.name for each in lengths] == [each.name for each in found.phases]
    assert all(each.seconds >= 0 for each in lengths)
    with opened(found.log) as log:
        times = [each.monotonic_ns for each in log.records() if each.position >= found.start]
    assert sum(each.seconds for each in lengths) == pytest.approx((times[-1] - times[0]) / 1e9)
