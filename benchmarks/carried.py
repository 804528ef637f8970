"""What proofs that carry over spare: an exploration with those of another recording, and without.

    .venv/bin/python benchmarks/carried.py OTHER RUN

Both are folders of `harness crash record`, of the same device (`--like`), and explored to their
end. RUN's exploration is played twice, one boot after the other, with the boots that were made: a
state that has to be booted reads and ends as the boot does that decides it.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from harness.crash.exploration import carried
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.resume import resumed
from harness.crash.recording.recording import Recording
from harness.crash.results import results
from harness.crash.results.sampling import least_sample


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    other, run = options.other, options.run
    found = results.load(run)
    window = int(found.recording.model.partition("~")[2] or 0)
    explored = resumed(Recording.load(run), seed=found.seed, window=window)
    mean = results.load(other).timing["boot_seconds_mean"]
    plain = _played(explored, _anew(explored))
    began = time.monotonic()
    helped = _anew(explored)
    carried.carry_from(helped, carried.sources(other))
    proofs, spared = len(helped.carried), _decided(helped)
    seconds = time.monotonic() - began
    needed = _played(explored, helped)
    ratio = f"{plain / needed:.1f} x" if needed else "no boot at all"
    rows = {
        "cut points": f"{explored.main.cut_points:,}",
        "boots without other proofs": f"{plain}, {plain * mean:.0f} s one by one (worked out)",
        "proofs that carry over": f"{proofs}, found and checked in {seconds:.1f} s",
        "cut points that they decide": f"{spared:,} ({spared / explored.main.cut_points:.1%})",
        "boots with them": f"{needed}, {needed * mean:.0f} s one by one (worked out)",
        "ratio": ratio,
        "the sample, in both": f"{least_sample(plain)} and {least_sample(needed)} boots more",
    }
    for name, value in rows.items():
        sys.stdout.write(f"{name:30} {value}\n")


def _anew(explored: Exploration) -> Exploration:
    """The same recording, with no boots yet."""
    return Exploration(explored.recording, seed=explored.seed, window=explored.window)


def _decided(exploration: Exploration) -> int:
    """How many single cuts have a verdict."""
    decided = exploration.decided()
    return sum(one.count for one in exploration.main.classes if one in decided)


def _played(explored: Exploration, again: Exploration) -> int:
    """How many boots decide all single cuts that nothing decides yet."""
    boots = 0
    while missing := again.undecided():
        state = missing[0].kinds[0].states[0]
        by = explored.decider(state)
        if by is None:
            sys.exit(f"not explored to its end: {state} is undecided")
        proof = replace(by.proof, state=state)
        again.add(proof, sample=False)
        if again.decider(state) is None:
            sys.exit(f"not explored to its end: {state} is decided by no boot of its own")
        boots += 1
    return boots


if __name__ == "__main__":
    main()
