"""What a host gives a process, and when that is too little to blame the process."""

import os
import subprocess
import sys
import time

import pytest

from harness.boards.share import Clock, Share, given


@pytest.mark.parametrize(
    ("share", "starved"),
    [
        (Share(), False),
        (Share(ran=100, waited=10), False),
        (Share(ran=100, waited=110), True),
        (Share(ran=2, waited=7), False),  # too short to say
        (Share(ran=100, waited=0, stolen=0.6), True),
        (Share(ran=1, waited=0, stolen=0.6), False),  # it wanted nothing
        (Share(ran=1, medium="it did not answer for 40 s"), True),
    ],
)
def test_when_a_board_is_starved(share: Share, starved: bool) -> None:
    assert share.starved is starved


def test_of_several_boots_the_one_that_got_too_little_counts() -> None:
    starved, quiet, last = Share(ran=10, waited=90), Share(ran=100), Share(ran=1)
    assert Share.worst([quiet, starved, last]) == starved
    assert Share.worst([quiet, last]) == last
    assert Share.worst([]) == Share()


def test_processes_that_share_a_cpu_wait_for_each_other() -> None:
    """Two that never rest, on one CPU: each gets half of what it wants. One that sleeps waits for
    nothing."""
    cpu = str(min(os.sched_getaffinity(0)))
    busy = ["taskset", "-c", cpu, sys.executable, "-c", "while True: pass"]
    since = Clock.now()
    both = [subprocess.Popen(busy) for _ in range(2)]
    asleep = subprocess.Popen(["sleep", "60"])
    try:
        until = time.monotonic() + 20
        while (found := given(both[0].pid, since)).waited < 0.5 and time.monotonic() < until:
            time.sleep(0.05)
        assert found.waited >= 0.5
        assert found.waited > 0.2 * (found.ran + found.waited)
        assert given(asleep.pid, since).waited < 0.2
    finally:
        for each in (*both, asleep):
            each.kill()
            each.wait()
    assert given(both[0].pid, since).ran == 0
