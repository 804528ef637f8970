"""Where the time of a boot goes: seconds from power-on to each stage that the console shows.

    .venv/bin/python benchmarks/boot.py RELEASE --board rpi4-qemu [--boots 3]

Boots from power-on to the health check, flashed once, so that all boots but the first are of a
used medium. Says what was measured on this machine, with whatever else it was doing: compare
boards and releases within one run.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

from harness.boards.lab import open_board
from harness.clients.gateway import HEALTH_LINE
from harness.product.release import load

# What the console shows in this order, whatever the bootloader; "loaded" is U-Boot's word only.
STAGES = {
    "grub": {
        "bootloader": r"boot selection: slot",
        "kernel": r"Linux version",
        "systemd": r"systemd\[1\]|Welcome to",
        "login": r"login: ",
        "healthy": HEALTH_LINE,
    },
    "u-boot": {
        "bootloader": r"boot selection: slot",
        "loaded": r"Starting kernel",
        "kernel": r"Linux version",
        "systemd": r"Welcome to",
        "login": r"login: ",
        "healthy": HEALTH_LINE,
    },
}
SECONDS = 300.0  # for a stage


def main() -> None:
    """Boot, measure, print one line a stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", type=Path)
    parser.add_argument("--board", required=True)
    parser.add_argument("--lab", type=Path, default=Path("labs/qemu.yaml"))
    parser.add_argument("--boots", type=int, default=3)
    options = parser.parse_args()
    release = load(options.release)
    stages = STAGES[release.product.bootloader]
    seen: dict[str, list[float]] = {name: [] for name in stages}
    with open_board(options.lab, options.board) as board:
        board.flash(release.disk_image)
        for _ in range(options.boots):
            began = time.monotonic()
            board.power_on()
            for name, pattern in stages.items():
                board.expect(pattern, timeout=SECONDS)
                seen[name].append(time.monotonic() - began)
            board.power_off()
    said = [f"{release.machine} {release.version} on {options.board}: seconds from power-on"]
    before = 0.0
    for name, times in seen.items():
        middle = statistics.median(times)
        told = ", ".join(f"{each:.1f}" for each in times)
        said.append(f"  {name:10} {middle:6.1f}  (+{middle - before:.1f})   each: {told}")
        before = middle
    sys.stdout.write("\n".join([*said, ""]))


if __name__ == "__main__":
    main()
