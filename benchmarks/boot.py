"""Where the time of a boot goes: seconds from power-on to each stage that the console shows.

    .venv/bin/python benchmarks/boot.py RELEASE --board rpi4-qemu [--boots 3]
        [--qemu '-icount shift=2,sleep=off'] [--cpu 0.1]

Boots from power-on to the health check, flashed once, so that all boots but the first are of a
used medium. Says what was measured on this machine, with whatever else it was doing: compare
boards and releases within one run. `--qemu`: more arguments for it. `--cpu`: what this process and
all that it starts may have of one CPU (a cgroup of version 1, root only), as on a busy host. A
stage that the device does not reach is told so, with how often it was reset on the way.
"""

import argparse
import contextlib
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from harness.boards.board import Board
from harness.boards.lab import open_board
from harness.clients.gateway import HEALTH_LINE
from harness.errors import HarnessError
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
    parser.add_argument("--qemu", default="")
    parser.add_argument("--cpu", type=float, default=0.0)
    options = parser.parse_args()
    release = load(options.release)
    stages = STAGES[release.product.bootloader]
    seen: dict[str, list[float]] = {name: [] for name in stages}
    devices: list[str] = []
    with (
        lab_with(options.lab, options.board, options.qemu) as lab,
        open_board(lab, options.board) as board,
    ):
        board.flash(release.disk_image)
        with held_to(options.cpu):
            for _ in range(options.boots):
                devices.append(measured(board, stages, seen))
    said = [f"{release.machine} {release.version} on {options.board}: seconds from power-on"]
    before = 0.0
    for name, times in seen.items():
        middle = statistics.median(times) if times else math.nan
        told = ", ".join(f"{each:.1f}" for each in times)
        said.append(f"  {name:10} {middle:6.1f}  (+{middle - before:.1f})   each: {told}")
        before = middle
    sys.stdout.write("\n".join([*said, *devices, ""]))


def measured(board: Board, stages: dict[str, str], seen: dict[str, list[float]]) -> str:
    """One boot, its stages added to `seen`; what the device itself says of the time, and the host
    of what it gave."""
    began = time.monotonic()
    board.power_on()
    try:
        for name, pattern in stages.items():
            board.expect(pattern, timeout=SECONDS)
            seen[name].append(time.monotonic() - began)
        uptime = board.run("cat /proc/uptime", timeout=60).stdout.split()
        device = f"{float(uptime[0]):.1f} s by its own clock"
    except HarnessError as error:
        device = f"not reached: {error.brief}"
    finally:
        share = board.share()
        board.power_off()
    return f"  {time.monotonic() - began:.1f} s: {board.boots} boots, {device}; {share}"


@contextlib.contextmanager
def lab_with(lab: Path, board: str, arguments: str) -> Iterator[Path]:
    """The lab file with more arguments for that board's QEMU."""
    if not arguments:
        yield lab
        return
    told = yaml.safe_load(lab.read_text())
    driver = told["targets"][board]["drivers"]["HarnessQemuDriver"]
    driver["extra_args"] = f"{driver.get('extra_args', '')} {arguments}".strip()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=lab.parent) as file:
        yaml.safe_dump(told, file, sort_keys=False)
        file.flush()
        yield Path(file.name)


@contextlib.contextmanager
def held_to(cpu: float) -> Iterator[None]:
    """This process, and what it starts, with so much of one CPU."""
    if not cpu:
        yield
        return
    group = Path(f"/sys/fs/cgroup/cpu/harness-boot-{os.getpid()}")
    group.mkdir()
    try:
        (group / "cpu.cfs_quota_us").write_text(f"{cpu * 100_000:.0f}")
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (group.parent / "cgroup.procs").write_text(str(os.getpid()))
        for _ in range(50):  # what has been killed leaves its group a little later
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


if __name__ == "__main__":
    main()
