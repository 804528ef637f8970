"""Memory that is taken from a device: its form, the program, and what counts as a strike."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.boards.board import CommandResult
from harness.clients.client import InstallResult
from harness.errors import DeviceError, LabError
from harness.faults.memory import STOP, MemoryFault, killed
from harness.product.release import Release
from harness.scenarios.bench import Bench
from harness.scenarios.suite.test_memory import install_out_of_memory


def test_the_form_is_read_back() -> None:
    assert str(MemoryFault.parse("memory:8M")) == "memory:8M"


@pytest.mark.parametrize(
    "text", ["memory:", "memory:8", "memory:0M", "memory:8k", "memory:8Mx2", "memory:٣M", "8M"]
)
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="memory:8M"):
        MemoryFault.parse(text)


# A kernel of 64 MiB: what is asked of `head` is gone, and the third time it kills somebody.
HEAD = """\
#!/bin/sh
echo "$2" >>calls
left=$(($(sed -n '$s/[^0-9]//gp' meminfo) - ${2%K}))
printf 'MemFree: 1 kB\\nMemAvailable: %d kB\\n' $((left > 0 ? left : 0)) >meminfo
[ "$(wc -l <calls)" -lt 3 ] || printf 'pgfault 12\\noom_kill 6\\n' >vmstat
"""


def test_it_is_taken_until_somebody_was_killed(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemFree: 1 kB\nMemAvailable: 65536 kB\n")
    (tmp_path / "vmstat").write_text("pgfault 12\noom_kill 5\n")
    for name, text in (("head", HEAD), ("mount", "#!/bin/sh\n"), ("sleep", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    program = MemoryFault(left=1).program.replace("/proc/", "").replace("/mnt/", "")
    subprocess.run(
        ["sh", "-c", program],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        timeout=20,
        check=True,
    )
    assert (tmp_path / "calls").read_text().split() == ["64512K", "2048K", "1024K"]


SAYS = "[  41.2] Out of memory: Killed process 245 (rauc) total-vm:9kB\r\nrauc.service: killed\r\n"


def test_who_was_killed_is_on_the_console() -> None:
    assert killed(SAYS) == ["Out of memory: Killed process 245 (rauc) total-vm:9kB"]
    assert killed("Memory cgroup out of memory: Killed process 1 (x)") == []


class Downloading:
    """A proxy that has seen another download before."""

    def __init__(self) -> None:
        self.requests = [SimpleNamespace(first=0, sent=100)]
        self.strikes: list[object] = []

    def downloads(self, first: int) -> list[Any]:
        return self.requests[first:]


class FakeBench:
    """Downloads at once; its board says something when its memory is taken."""

    def __init__(self, says: str, *, answers: bool = True) -> None:
        self.board: Any = self
        self.client: Any = self
        self.name = "fake"
        self.proxy = Downloading()
        self.commands: list[str] = []
        self._says, self._answers = says, answers

    def console_text(self) -> str:
        before = "Out of memory: long ago\r\n"
        return before + (self._says if self.commands else "")

    def offer(self, release: object) -> str:
        return "http://"

    def start_install(self, url: str) -> None:
        self.proxy.requests.append(SimpleNamespace(first=60, sent=40))

    def run(self, command: str, *, timeout: float) -> CommandResult:
        self.commands.append(command)
        return CommandResult(stdout="", stderr="", returncode=0)

    def wait_install(self, timeout: float) -> InstallResult:
        if not self._answers:
            raise DeviceError("it does not answer")
        return InstallResult(ok=False, output="killed", returncode=1, message="")


@pytest.fixture
def release(tmp_path: Path) -> Release:
    (tmp_path / "update").write_bytes(bytes(100))
    return cast(Release, SimpleNamespace(artifact=tmp_path / "update"))


@pytest.mark.parametrize("answers", [True, False])
def test_whom_it_cost_is_told_and_the_memory_is_given_back(release: Release, answers: bool) -> None:
    bench = FakeBench(SAYS, answers=answers)
    installed, told = install_out_of_memory(cast(Bench, bench), MemoryFault(left=8), release)
    assert (installed, told["killed"]) == (False, killed(SAYS))
    assert bench.commands == [MemoryFault(left=8).command, STOP]


def test_a_kernel_that_killed_nobody_was_not_out_of_memory(release: Release) -> None:
    with pytest.raises(LabError, match="memory:8M: the kernel killed nobody"):
        install_out_of_memory(cast(Bench, FakeBench("")), MemoryFault(left=8), release)
