"""`harness lab simulate` as a process of its own, and labgrid's own client beside it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 180  # a client of labgrid takes seconds to start, on a loaded machine many


@dataclass(frozen=True)
class Simulated:
    """A virtual bench that runs."""

    lab: Path
    process: subprocess.Popen[str]
    cache: Path

    def client(self, *words: str, check: bool = True) -> str:
        """What labgrid's own client says."""
        argv = [sys.executable, "-m", "labgrid.remote.client", "-c", str(self.lab), *words]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_SECONDS, check=False, env=ENVIRONMENT
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + ("" if check else done.stderr)

    def harness(self, command: str, *words: str) -> None:
        """`harness lab COMMAND` of this bench."""
        self.run("lab", command, str(self.lab), *words)

    def run(self, *words: str, code: int = 0) -> str:
        """What `harness` answers, with a cache of its own."""
        argv = [sys.executable, "-m", "harness", "-q", *words]
        env = {**ENVIRONMENT, "HARNESS_CACHE": str(self.lab.parent / "own-cache")}
        if words[0] == "lab":  # it has to find the bench that runs
            env["HARNESS_CACHE"] = str(self.cache)
        done = subprocess.run(
            argv, timeout=2 * _SECONDS, check=False, env=env, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("LG_")}


@contextlib.contextmanager
def simulated(lab: Path, *flags: str, end: signal.Signals = signal.SIGTERM) -> Iterator[Simulated]:
    """The bench of a lab file; ended in order, and nothing of it left."""
    cache = lab.parent / "cache"
    argv = [sys.executable, "-m", "harness", "lab", "simulate", *flags, str(lab)]
    log = lab.parent / "simulate.log"
    with log.open("w") as sink:
        process = subprocess.Popen(
            argv,
            stdout=sink,
            stderr=subprocess.STDOUT,
            text=True,
            env={**ENVIRONMENT, "HARNESS_CACHE": str(cache)},
        )
    try:
        latest = time.monotonic() + _SECONDS
        while "use it with" not in log.read_text() and process.poll() is None:
            assert time.monotonic() < latest, log.read_text()
            time.sleep(0.05)
        assert process.poll() is None, log.read_text()
        yield Simulated(lab, process, cache)
    finally:
        process.send_signal(end)
        assert process.wait(_SECONDS) in (130, -signal.SIGKILL), log.read_text()
