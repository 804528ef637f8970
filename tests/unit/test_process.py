import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import process
from harness.deadline import Deadline
from harness.errors import BuildError, LabError

# A child with a child of its own, whose process id it leaves in a file.
FAMILY = "sleep 300 & echo $! >{}.new; mv {}.new {}; wait"


def family(pid_file: Path) -> list[str]:
    return ["sh", "-c", FAMILY.replace("{}", str(pid_file))]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # an orphan's zombie is the init process's to reap


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = Deadline(seconds)
    while not condition():
        assert not deadline.over, "waited in vain"
        time.sleep(0.01)


def test_returns_what_was_printed() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2"], timeout=10)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 0)


def test_standard_input_is_closed_or_given(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("from a file")
    assert process.run(["cat"], timeout=10).stdout == ""
    assert process.run(["cat"], timeout=10, stdin="given").stdout == "given"
    assert process.run(["cat"], timeout=10, stdin=file).stdout == "from a file"


def test_environment_is_added_to_ours() -> None:
    script = 'echo "$EXTRA ${PATH:+inherited}"'
    done = process.run(["sh", "-c", script], timeout=10, env={"EXTRA": "1"})
    assert done.stdout == "1 inherited\n"


def test_a_failure_shows_command_code_and_last_lines() -> None:
    script = "seq 1 50 >&2; exit 3"
    with pytest.raises(BuildError) as caught:
        process.run(["sh", "-c", script], timeout=10, error=BuildError)
    assert caught.value.brief == "sh failed: exit code 3"
    command, *tail = caught.value.details.splitlines()
    assert command == f"$ sh -c '{script}'"  # can be pasted into a shell
    assert tail == [f"  {number}" for number in range(36, 51)]


def test_a_failure_can_be_the_callers_to_judge() -> None:
    assert process.run(["false"], timeout=10, check=False).returncode == 1


def test_a_log_takes_both_streams_and_is_named_in_the_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process.run(["sh", "-c", "echo one; echo two >&2"], timeout=10, log=log)
    with pytest.raises(LabError) as caught:
        process.run(["sh", "-c", "echo three; exit 1"], timeout=10, log=log)
    assert log.read_text() == "one\ntwo\nthree\n"
    assert str(log) in caught.value.hint
    assert "three" in caught.value.details


def test_a_missing_program_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no-such-program: no such program") as caught:
        process.run(["no-such-program"], timeout=10, error=BuildError)
    assert "`harness setup`" in caught.value.hint
    with pytest.raises(LabError):
        process.start(["no-such-program"], log=tmp_path / "log")


def test_a_timeout_kills_grandchildren_too(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    began = time.monotonic()
    with pytest.raises(LabError, match=r"took longer than 0\.5 s"):
        process.run(family(pid_file), timeout=0.5)
    assert time.monotonic() - began < 5
    wait_for(lambda: not alive(int(pid_file.read_text())))


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_harness_leaves_nobody_behind(tmp_path: Path, stop: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    script = (
        "from harness import cli, process\n"
        "@cli.app.command()\n"
        f"def wait(): process.run({family(pid_file)!r}, timeout=300)\n"
        "cli.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, "wait"]) as harness:
        wait_for(pid_file.exists)
        harness.send_signal(stop)
        assert harness.wait(timeout=10) == 130
    wait_for(lambda: not alive(int(pid_file.read_text())))


def test_a_killed_harness_takes_its_children_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = ["sh", "-c", f"echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 300"]
    script = f"from harness import process; process.run({child!r}, timeout=300)"
    with subprocess.Popen([sys.executable, "-c", script]) as harness:
        wait_for(pid_file.exists)
        harness.kill()
    wait_for(lambda: not alive(int(pid_file.read_text())))


def test_a_background_server_ends_with_its_block_even_when_that_fails(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with (
        pytest.raises(ZeroDivisionError),
        process.background(family(pid_file), log=tmp_path / "log") as server,
    ):
        wait_for(pid_file.exists)
        raise ZeroDivisionError
    assert server.returncode == -signal.SIGKILL
    wait_for(lambda: not alive(int(pid_file.read_text())))


def test_killing_twice_is_fine(tmp_path: Path) -> None:
    server = process.start(["sleep", "300"], log=tmp_path / "log")
    process.kill_group(server)
    process.kill_group(server)
    assert not alive(server.pid)
    assert os.path.lexists(tmp_path / "log")


def test_what_strangers_print_has_an_end() -> None:
    argv = ["sh", "-c", "head -c 5000 /dev/zero"]
    assert len(process.run(argv, timeout=10, largest=5000).stdout) == 5000
    with pytest.raises(BuildError, match="sh failed: printed more than 4,999 bytes"):
        process.run(argv, timeout=10, largest=4999, error=BuildError)


def test_variables_can_be_kept_from_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRAY", "x")
    argv = ["sh", "-c", 'echo "$STRAY$MORE"']
    assert process.run(argv, timeout=10, env={"MORE": "y"}).stdout == "xy\n"
    assert process.run(argv, timeout=10, env={"MORE": "y"}, without=["STRAY"]).stdout == "y\n"
