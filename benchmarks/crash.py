"""What an exploration cost, against the plain way: one boot for each cut point.

    .venv/bin/python benchmarks/crash.py RUN

RUN is a folder of `harness crash record`, explored. Times of single boots are those that were
measured in it; what the plain way and more cores would take is worked out from them, and says so.
"""

import resource
import sys
import time
from pathlib import Path

from harness.crash import results, workers
from harness.crash.explore import resumed
from harness.crash.recording import Recording

_WORKERS = (2, 16, 256)  # one QEMU a core


def main() -> None:
    """Print the table."""
    folder = Path(sys.argv[1])
    found = results.load(folder)
    counts, mean = found.counts, found.timing["boot_seconds_mean"]
    boots = len(found.proofs)
    began = time.monotonic()
    exploration = resumed(Recording.load(folder), seed=found.seed)
    undecided = len(exploration.undecided())
    seconds = time.monotonic() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    log = (folder / "log.bin").stat().st_size
    own = sum(p.stat().st_size for p in (folder / workers.PROOFS).rglob("*") if p.is_file())
    decided = counts.cut_points - counts.undecided
    rows = {
        "cut points": f"{counts.cut_points:,}, {counts.undecided:,} undecided ({undecided} boots)",
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
    for cores in _WORKERS:
        rounds = -(-boots // cores)
        rows[f"these boots on {cores} cores (worked out)"] = f"{rounds * mean / 60:.1f} min"
    for name, value in rows.items():
        sys.stdout.write(f"{name:42} {value}\n")


if __name__ == "__main__":
    main()
