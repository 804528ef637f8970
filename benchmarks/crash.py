"""What an exploration cost, against the plain way: one boot for each cut point.

    .venv/bin/python benchmarks/crash.py RUN

RUN is a folder of `harness crash record`, explored. Times of single boots are those that were
measured in it; what the plain way and more cores would take is worked out from them, and says so:
for more cores the exploration is played again with the boots that it made.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

from harness.crash.exploration import prove
from harness.crash.exploration.exploration import Exploration
from harness.crash.exploration.resume import resumed
from harness.crash.recording.recording import Recording
from harness.crash.results import results

_CORES = (16, 256)  # one QEMU each


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    folder = parser.parse_args().run
    found = results.load(folder)
    counts, mean = found.counts, found.timing["boot_seconds_mean"]
    boots = len(found.boots)
    began = time.monotonic()
    window = int(found.recording.model.partition("~")[2] or 0)
    exploration = resumed(Recording.load(folder), seed=found.seed, window=window)
    undecided = len(exploration.undecided())
    seconds = time.monotonic() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    log = (folder / "log.bin").stat().st_size
    own = sum(p.stat().st_size for p in (folder / prove.PROOFS).rglob("*") if p.is_file())
    decided = counts.cut_points - counts.undecided
    rows = {
        "cut points": f"{counts.cut_points:,}, {counts.undecided:,} undecided ({undecided} boots)",
        "of them drawn": f"{counts.drawn:,}",
        "distinct contents": f"{counts.distinct:,}",
        "boots": f"{boots} ({counts.booted} + {counts.nested.booted} nested + {counts.sampled} "
        f"samples), {mean} s each",
        "cut points for each booted state": f"{decided / max(1, counts.booted):,.0f}",
        "all classified again in": f"{seconds:.1f} s, {decided / seconds:,.0f} cut points a second",
        "memory of the explorer": f"{memory:.0f} MiB",
        "disk": f"{own / 1e6:.0f} MB of proofs beside a log of {log / 1e6:.0f} MB",
        "boots saved (worked out)": f"{decided / max(1, boots):,.0f} x",
        "the plain way (worked out)": f"{decided * mean / 86400 / 2:,.0f} days on 2 cores",
    }
    for cores in _CORES:
        needed, rounds = _played(exploration, cores)
        rows[f"on {cores} cores (played)"] = (
            f"{needed} boots in {rounds} rounds: {rounds * mean / 60:.1f} min (worked out)"
        )
    for name, value in rows.items():
        sys.stdout.write(f"{name:42} {value}\n")


def _played(explored: Exploration, cores: int) -> tuple[int, int]:
    """How many boots, and how many rounds of them, decide all single cuts when each round boots as
    many states as there are cores, not knowing of each other. What a boot would read and end in is
    taken from the boot that decides its state."""
    again = Exploration(explored.recording, seed=explored.seed, window=explored.window)
    boots = rounds = 0
    while missing := again.undecided()[:cores]:
        boots, rounds = boots + len(missing), rounds + 1
        found = [explored.decider(each.kinds[0].states[0]) for each in missing]
        news = {each.proof.state: each for each in found if each}
        for each in again.booted:
            news.pop(each.proof.state, None)
        if not news:
            sys.exit(f"not explored to its end: {missing[0].kinds[0].states[0]} is undecided")
        for each in news.values():
            again.add(each.proof, sample=False)
    return boots, rounds


if __name__ == "__main__":
    main()
