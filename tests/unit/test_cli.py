"""The command line as a user meets it: a process of its own, its streams and its exit code."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli import app
from harness.commands import crash
from tests.unit.crash.recordings import recording

HARNESS = Path(sys.executable).with_name("harness")
COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]
GROUPS = [
    f"crash {command.callback.__name__}"
    for command in crash.app.registered_commands
    if command.callback
]

# The real command line with one more command, which does what `FAIL` says.
WITH_COMMAND = """
from harness import cli, errors, log
@cli.app.command()
def fail():
    with log.step("failing"):
        FAIL
cli.main()
"""


def harness(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HARNESS, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def failing(statement: str, *options: str) -> subprocess.CompletedProcess[str]:
    script = WITH_COMMAND.replace("FAIL", statement)
    return subprocess.run(
        [sys.executable, "-c", script, *options, "fail"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_help_names_every_command_and_every_exit_code() -> None:
    done = harness("--help")
    assert done.returncode == 0
    for command in [*COMMANDS, "crash"]:
        assert re.search(rf"│ {command} ", done.stdout)
    assert "5 promotion refused" in done.stdout


def test_no_arguments_is_help_and_a_usage_error() -> None:
    done = harness()
    assert done.returncode == 2
    assert "Usage:" in done.stdout + done.stderr


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPS])
def test_each_command_has_complete_help_with_an_example(command: str) -> None:
    done = harness(*command.split(), "--help")
    assert done.returncode == 0
    assert f"harness {command}" in done.stdout.split("Options")[0].split("Usage:")[1][20:]


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["build"],
        ["flash", "--no-such-option"],
        ["crash", "fsck", "run"],
        ["crash", "fsck", "run", "--at", "1", "--state", "1/none"],
        ["crash", "explore", "run", "--budget", "soon"],
    ],
)
def test_a_usage_error_is_2_and_tells_what_is_wrong(arguments: list[str]) -> None:
    done = harness(*arguments)
    assert done.returncode == 2
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("kind", "code", "shown"),
    [
        ("ConfigurationError", 2, "configuration error"),
        ("BuildError", 2, "build error"),
        ("LabError", 3, "lab error"),
        ("DeviceError", 4, "device failure"),
        ("PromotionError", 5, "promotion refused"),
    ],
)
def test_an_expected_failure_is_one_message_and_its_exit_code(
    kind: str, code: int, shown: str
) -> None:
    done = failing(f"raise errors.{kind}('file x: [bad]', details='line 1', hint='do y')")
    assert done.returncode == code
    assert done.stdout == ""
    message = done.stderr.splitlines()[-3:]
    assert message == [f"{shown}: file x: [bad]", "line 1", "hint: do y"]


def test_an_unexpected_failure_is_a_bug_with_a_traceback() -> None:
    done = failing("1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("this is a bug in the harness")


def test_ctrl_c_is_130_without_noise() -> None:
    done = failing("raise KeyboardInterrupt")
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_it_is_loading(tmp_path: Path, stop: signal.Signals) -> None:
    slow = (
        "import pathlib, time\npathlib.Path(__file__).with_name('there').touch()\ntime.sleep(60)\n"
    )
    (tmp_path / "typer.py").write_text(f"{slow}time.sleep(60)\n")
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "--help"],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while not (tmp_path / "there").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"")


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_being_ended_from_outside_cleans_up_like_ctrl_c(stop: str, tmp_path: Path) -> None:
    mark = tmp_path / "cleaned"
    done = failing(
        f"""
        import os, pathlib, signal
        try:
            os.kill(os.getpid(), signal.{stop})
            signal.pause()
        finally:
            pathlib.Path({str(mark)!r}).touch()"""
    )
    assert done.returncode == 130 == 128 + signal.SIGINT
    assert mark.exists()


def test_steps_can_be_kept_as_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    failing("pass", "--events", str(file))
    events = [json.loads(line)["event"] for line in file.read_text().splitlines()]
    assert events == ["begin", "end"]


@pytest.mark.parametrize("kind", ["folder", "FIFO", "/dev/full", "no/folder"])
def test_events_that_cannot_be_kept_are_told(tmp_path: Path, kind: str) -> None:
    file = tmp_path / kind
    if kind == "folder":
        file.mkdir()
    elif kind == "FIFO":
        os.mkfifo(file)
    done = failing("pass", "--events", str(file))
    assert done.returncode == (3 if kind == "/dev/full" else 2)
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("asked", [["status", "--json"], ["--help"]])
def test_an_answer_that_nobody_can_take_is_told(asked: list[str]) -> None:
    reading, pipe = os.pipe()
    os.close(reading)
    for target, code in ((os.open("/dev/full", os.O_WRONLY), 3), (pipe, 2)):
        done = subprocess.run(
            [HARNESS, *asked], stdout=target, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        os.close(target)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        assert re.search("standard output: |this machine: No space left", done.stderr)


@pytest.mark.parametrize(
    ("number", "code", "kind"),
    [("ENOSPC", 3, "lab error"), ("EROFS", 3, "lab error"), ("EACCES", 2, "configuration error")],
)
def test_what_a_file_does_anywhere_is_a_line(number: str, code: int, kind: str) -> None:
    done = failing(f"import errno; raise OSError(errno.{number}, 'it is so', '/some/file')")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        code,
        f"{kind}: /some/file: it is so",
    )


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "raise FileNotFoundError(2, 'No usable temporary directory found in [...]')",
            "no folder for temporary files\nhint: set TMPDIR to one that is writable",
        ),
        ("raise MemoryError", "not enough memory"),
        ("import errno; raise OSError(errno.EFBIG, 'File too large')", "this machine: File too"),
    ],
)
def test_what_a_machine_is_short_of_is_no_bug(statement: str, told: str) -> None:
    done = failing(statement)
    assert done.returncode == 3
    assert f"lab error: {told}" in done.stderr
    assert "Traceback" not in done.stderr


STREAMS = {"full": "2>/dev/full", "closed": "2>&-", "both closed": ">&- 2>&-", "gone": "2>&1 | :"}


@pytest.mark.parametrize("streams", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("raise errors.PromotionError('no')", 5),
        ("raise ValueError('no')", 1),
        ("log.emit('end', step='x', seconds=1.0)", 0),
        ("import logging; logging.getLogger().warning('x')", 0),
    ],
)
def test_nobody_to_tell_changes_no_exit_code(statement: str, code: int, streams: str) -> None:
    """What a promotion has done, above all, is not another thing because a log was full."""
    script = WITH_COMMAND.replace("FAIL", statement)
    shell = f'set -o pipefail; "$0" -c "$1" fail {streams}'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable, script],
        timeout=60, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == code


def test_warnings_are_one_line() -> None:
    done = failing(f"import logging; logging.getLogger('x').warning('{'long/' * 100}')")
    assert f"WARNING: x: {'long/' * 100}" in done.stderr.splitlines()


def test_a_replay_without_a_terminal_is_judged(tmp_path: Path) -> None:
    run = recording(tmp_path).folder
    judged = harness("crash", "replay", run, "--at", "1")
    assert judged.returncode == 2
    assert "there is no cut point after 1 records" in judged.stderr  # what only the judge minds
    asked = harness("crash", "replay", run, "--at", "1", "--console")
    assert (asked.returncode, "no terminal" in asked.stderr) == (2, True)


def test_help_offers_what_there_is() -> None:
    told = harness("test", "--help").stdout
    assert "ci|all" in told
    assert "demo|" not in told
    assert harness("test", "x", "--from", "y", "-b", "z", "--tier", "demo").returncode == 2


def test_a_recipe_that_is_not_there_is_the_users_error(tmp_path: Path) -> None:
    missing = tmp_path / "no-such-recipe"
    done = harness("build", missing, "--version", "1.0.0")
    assert done.returncode == 2
    assert "no-such-recipe" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_not_there_is_the_users_error(tmp_path: Path) -> None:
    missing = tmp_path / "no-such-release"
    repository = tmp_path / "repository"
    commands: list[list[str | Path]] = [
        ["flash", missing, "--board", "gateway-qemu"],
        ["test", missing, "--from", missing, "--board", "gateway-qemu"],
        ["promote", missing, "--ring", "canary", "--repo", repository],
        ["report", missing],
        ["crash", "record", missing, "--from", missing, "--board", "gateway-qemu", "-o", tmp_path],
        ["crash", "explore", missing],
        ["crash", "report", missing],
        ["crash", "replay", missing, "--at", "1"],
        ["crash", "fsck", missing, "--at", "1"],
    ]
    for arguments in commands:
        done = harness(*arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
