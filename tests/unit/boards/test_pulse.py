"""Whether a process got the time that it needed: told by numbers, and by one that was stopped."""

import os
import signal
import subprocess
import sys

import pytest

from harness.boards.pulse import Beat, Pulse
from harness.boards.share import Clock
from harness.errors import LabError

_STOPPED = """
import sys, time
from harness.boards.pulse import Pulse
pulse = Pulse()
pulse.open()
time.sleep(3)
pulse.begin()
print("begun", flush=True)
sys.stdin.readline()
time.sleep(3)
print(pulse.short)
pulse.close()
"""


def look(at: float, waited: float, stolen: int = 0) -> Beat:
    return Beat(at, {"1": 0.1, "2": waited}, Clock(total=round(at * 200), stolen=stolen))


@pytest.mark.parametrize(
    ("now", "short"),
    [
        (look(12.0, 5.0), 0.0),
        (look(12.0, 6.4), 0.0),  # 1.4 s of 2
        (look(12.0, 6.6), 2.0),
        (look(12.5, 5.0), 0.0),
        (look(22.0, 5.0), 10.0),  # it should have come 10 s before
        (look(12.0, 5.0, stolen=100), 0.0),
        (look(12.0, 5.0, stolen=220), 2.0),
    ],
)
def test_when_a_process_got_too_little(now: Beat, short: float) -> None:
    assert now.short(look(10.0, 5.0)) == pytest.approx(short)


def test_a_thread_that_began_meanwhile_counts_from_its_beginning() -> None:
    before = Beat(10.0, {"1": 0.0}, Clock(0, 0))
    assert Beat(12.0, {"1": 0.0, "7": 1.9}, Clock(400, 0)).short(before) == 2.0
    assert Beat(12.0, {}, Clock(400, 0)).short(before) == 0.0


@pytest.mark.parametrize("stopped", [True, False])
def test_a_process_that_was_stopped_for_a_while_knows_it(stopped: bool) -> None:
    """And, the control, one that was not."""
    argv = [sys.executable, "-c", _STOPPED]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "begun\n"
        if stopped:
            os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(15)
        os.kill(process.pid, signal.SIGCONT)
        told, _ = process.communicate("\n", timeout=60)
    assert (float(told) > 10) is stopped, told


def test_little_is_no_trouble() -> None:
    pulse = Pulse(short=9.0)
    pulse.check("desk")
    pulse.short = 11.0
    with pytest.raises(LabError, match="desk: the bench is too busy to tell: the harness itself"):
        pulse.check("desk")
    pulse.begin()
    pulse.check("desk")
