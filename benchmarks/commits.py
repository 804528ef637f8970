"""What exploring costs with this checkout and with another commit of it, in one run.

    .venv/bin/python benchmarks/commits.py COMMIT FOLDER [MINUTES]

Each builds its own gateway 1.0.0 and 1.1.0, records the update and explores it for so many minutes
(default 10) on two boards, one after the other on this host; FOLDER keeps what was done, so that a
second run begins where the first one ended. COMMIT's checkout is a git worktree in FOLDER.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parents[1]
_VERSIONS = ("1.0.0", "1.1.0")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("folder", type=Path)
    parser.add_argument("minutes", type=int, nargs="?", default=10)
    options = parser.parse_args()
    commit, folder, minutes = options.commit, options.folder.resolve(), options.minutes
    checkout = folder / commit / "checkout"
    if not checkout.exists():
        checkout.parent.mkdir(parents=True, exist_ok=True)
        git = ["git", "-C", str(_HERE), "worktree", "add", "--detach"]
        subprocess.run([*git, str(checkout), commit], check=True)
    before = _figures(checkout, folder / commit, minutes)
    now = _figures(_HERE, folder / "now", minutes)
    sys.stdout.write(f"{'':40} {commit[:12]:>14} {'now':>14} {'ratio':>8}\n")
    for name, value in before.items():
        ratio = f"{now[name] / value:8.2f}" if value else ""
        sys.stdout.write(f"{name:40} {value:14,.1f} {now[name]:14,.1f} {ratio}\n")


def _figures(checkout: Path, folder: Path, minutes: int) -> dict[str, float]:
    run = folder / "run"
    if not (run / "recording.json").exists():
        for version in _VERSIONS:
            target = str(folder / version)
            _harness(checkout, "build", "images/legacy-gateway", "--version", version, "-o", target)
        new, old = (str(folder / version) for version in reversed(_VERSIONS))
        _harness(
            checkout, "crash", "record", new, "--from", old, "-b", "gateway-qemu", "-o", str(run)
        )
    if not (run / "results.json").exists():
        budget = f"{minutes}m"
        _harness(checkout, "crash", "explore", str(run), "--budget", budget, "--jobs", "2")
    found: dict[str, Any] = json.loads((run / "results.json").read_text())
    counts, seconds = found["counts"], found["timing"]["seconds"]
    boots = len(found["proofs"])
    decided = counts["cut_points"] - counts["undecided"]
    return {
        "cut points": counts["cut_points"],
        "of them decided": decided,
        "undecided": counts["undecided"],
        "boots": boots,
        "seconds a boot (of two at once)": found["timing"]["boot_seconds_mean"],
        "minutes": seconds / 60,
        "cut points decided a boot": decided / max(1, boots),
        "cut points decided a minute": decided / max(1.0, seconds) * 60,
    }


def _harness(checkout: Path, *words: str) -> None:
    """The harness of a checkout, in this environment. That something is bad is no error here."""
    argv = [sys.executable, "-m", "harness", *words]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    code = subprocess.run(argv, check=False, cwd=checkout, env=environment).returncode
    if code not in (0, 4):
        sys.exit(f"{' '.join(words[:2])} of {checkout} ended with {code}")


if __name__ == "__main__":
    main()
