"""What the medium costs: the same work on it and on plain storage, in turns, as ratios.

    python benchmarks/medium.py                      block I/O: nbdkit's file plugin, raw file
    python benchmarks/medium.py --boot DISK_IMAGE    also boots to the login prompt on both

Ratios are medium / plain time; above 1 the medium is slower. Absolute figures of a shared machine
mean little, so each pair runs in turns and the best of the rounds counts. The target is a boot
that is at most 15 % slower.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pexpect

from harness.boards.qemu.nbd.client import Medium
from harness.medium.model import Loss, LossKind
from harness.process import kill_group, start

SIZE = 256 << 20
SEQUENTIAL = 1 << 20
RANDOM_OPERATIONS = 20_000


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boot", type=Path, help="disk image with a login prompt on serial")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        block_io(Path(folder), arguments.rounds)
        if arguments.boot:
            boots(Path(folder), arguments.boot, arguments.rounds)


def block_io(folder: Path, rounds: int) -> None:
    """Sequential and random I/O through qemu's own drivers."""
    image = folder / "base.img"
    with image.open("wb") as stream:
        stream.write(bytes(range(256)) * (SIZE // 256))
    plain = folder / "plain.img"
    shutil.copyfile(image, plain)
    with Medium(folder / "medium") as medium, nbdkit_file(plain, folder) as file_uri:
        medium.load(image)
        for name, commands in work().items():
            contestants = {
                "medium": partial(qemu_io, medium.uri, commands),
                "nbdkit file": partial(qemu_io, file_uri, commands),
                "raw file": partial(qemu_io, str(plain), commands),
            }
            report(name, in_turns(contestants, rounds))


def work() -> dict[str, list[str]]:
    """qemu-io commands by what they measure."""
    count = SIZE // SEQUENTIAL
    stride = 12_582_917 // 4096 * 4096  # visits the image in an order that no cache foresees
    return {
        "sequential read, 1 MiB": [f"read -q {n * SEQUENTIAL} 1M" for n in range(count)],
        "sequential write, 1 MiB": [f"write -q {n * SEQUENTIAL} 1M" for n in range(count)],
        "random read, 4 KiB": [f"read -q {n * stride % SIZE} 4k" for n in range(RANDOM_OPERATIONS)],
        "random write, 4 KiB": [
            f"write -q {n * stride % SIZE} 4k" for n in range(RANDOM_OPERATIONS)
        ],
    }


def qemu_io(address: str, commands: list[str]) -> None:
    """Run the commands on a write-back device; the flush at the end is part of the time."""
    subprocess.run(
        ["qemu-io", "-t", "writeback", "-f", "raw", address],
        input="\n".join(commands).encode(),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )


@contextmanager
def nbdkit_file(image: Path, folder: Path) -> Iterator[str]:
    """nbdkit's own file plugin: what NBD alone costs."""
    socket, ready = folder / "file.sock", folder / "file.pid"
    argv: list[str | Path] = ["nbdkit", "-f", "-P", ready, "--unix", socket, "file", image]
    server = start(argv, log=folder / "file.log")
    try:
        while not ready.exists():
            time.sleep(0.01)  # a benchmark may; nbdkit writes the file when it serves
        yield f"nbd+unix:///?socket={socket}"
    finally:
        kill_group(server)


def boots(folder: Path, image: Path, rounds: int) -> None:
    """Power-on to the login prompt, each time from the freshly flashed image."""

    def on_medium() -> None:
        with Medium(folder / "booted") as medium:
            medium.load(image)
            clock.start()
            boot(medium.uri)
            medium.freeze()
            medium.drop(Loss(kind=LossKind.NONE))

    def on_raw() -> None:
        copy = folder / "raw.img"
        subprocess.run(["cp", "--sparse=always", image, copy], check=True, timeout=120)
        clock.start()
        boot(str(copy))

    clock = Clock()
    times = in_turns({"medium": on_medium, "raw file": on_raw}, rounds, clock)
    report("boot to login", times)


def boot(address: str) -> None:
    """One board until its login prompt."""
    argv = ["-M", "pc", "-cpu", "qemu32,+sse2", "-smp", "1", "-m", "512", "-accel", "tcg"]
    argv += ["-nographic", "-nic", "user,model=e1000", "-device", "i6300esb"]
    argv += ["-drive", f"if=ide,format=raw,cache=writeback,file={address}"]
    console = pexpect.spawn("qemu-system-i386", argv, timeout=180)
    try:
        console.expect("login:")
    finally:
        console.close(force=True)


class Clock:
    """Measures from the last `start`, so that preparing is not counted."""

    def __init__(self) -> None:
        self._began = 0.0

    def start(self) -> None:
        """Count from here."""
        self._began = time.perf_counter()

    def seconds(self) -> float:
        """Seconds since `start`."""
        return time.perf_counter() - self._began


def in_turns(
    contestants: Mapping[str, Callable[[], None]], rounds: int, clock: Clock | None = None
) -> dict[str, list[float]]:
    """Seconds of each, one after the other, `rounds` times."""
    clock = clock or Clock()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            clock.start()
            run()
            times[name].append(clock.seconds())
    return times


def report(name: str, times: dict[str, list[float]]) -> None:
    """One line: best times, and the medium against each other storage."""
    best = {who: min(seconds) for who, seconds in times.items()}
    figures = ", ".join(f"{who} {seconds:.2f} s" for who, seconds in best.items())
    ratios = ", ".join(
        f"{best['medium'] / seconds:.2f} x {who}"
        for who, seconds in best.items()
        if who != "medium"
    )
    print(f"{name}: {ratios}   ({figures})")  # noqa: T201


if __name__ == "__main__":
    main()
