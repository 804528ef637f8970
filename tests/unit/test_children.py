"""Real child processes with the real command line, and a command that does what it is told."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.errors import (
    BuildError,
    ConfigurationError,
    DeviceError,
    HarnessError,
    LabError,
    PromotionError,
)
from harness.log import Event, sink
from harness.scenarios.children import Ended, Job, run_all, worst
from tests.unit.test_process import alive, wait_for

# `harness obey STATEMENT`
OBEY = """
import os, pathlib, signal, sys, time
from harness import cli, errors, log
@cli.app.command()
def obey(statement: str):
    with log.step("obeying"):
        exec(statement)
cli.main()
"""
PROGRAM = (sys.executable, "-c", OBEY)


def obey(name: str, statement: str) -> Job:
    return Job(name=name, words=("obey", statement))


def run(*jobs: Job) -> tuple[list[Ended], list[str]]:
    """What became of the jobs, and the lines that were told."""
    told: list[str] = []
    ended = run_all(jobs, tell=lambda name, line: told.append(f"{name} | {line}"), program=PROGRAM)
    return ended, told


def test_lines_are_told_and_answers_are_kept_by_name() -> None:
    ended, told = run(
        obey("rpi4", "print('{1}'); print('one', file=sys.stderr); sys.stderr.write('half')"),
        obey("gateway", "print('{2}'); print('two', file=sys.stderr)"),
    )
    assert [(each.name, each.code, each.answer) for each in ended] == [
        ("rpi4", 0, "{1}"),
        ("gateway", 0, "{2}"),
    ]
    assert sorted(told) == ["gateway | two", "rpi4 | half", "rpi4 | one"]
    assert [each.error() for each in ended] == [None, None]


def test_they_run_at_the_same_time(tmp_path: Path) -> None:
    """Each waits for the other's file."""
    meet = (
        "pathlib.Path({mine!r}).touch()\n"
        "while not pathlib.Path({other!r}).exists(): time.sleep(0.01)"
    )
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    ended, _ = run(obey("a", meet.format(mine=a, other=b)), obey("b", meet.format(mine=b, other=a)))
    assert [each.code for each in ended] == [0, 0]


def test_steps_of_children_are_steps_of_ours_and_name_their_machine() -> None:
    events: list[Event] = []
    with sink(events.append):
        _, told = run(obey("rpi4", "log.progress('obeying', 1, 2)"))
    assert told == []
    assert [(event["event"], event["step"], event["machine"]) for event in events] == [
        ("begin", "obeying", "rpi4"),
        ("progress", "obeying", "rpi4"),
        ("end", "obeying", "rpi4"),
    ]


@pytest.mark.parametrize(
    "kind", [ConfigurationError, BuildError, LabError, DeviceError, PromotionError]
)
def test_an_error_keeps_its_kind_and_words(kind: type[HarnessError]) -> None:
    statement = f"raise errors.{kind.__name__}('x: [bad]', details='line 1', hint='do y')"
    [ended], _ = run(obey("rpi4", statement))
    error = ended.error()
    assert type(error) is kind
    assert str(error) == "rpi4: x: [bad]\nline 1\nhint: do y"


def test_an_error_is_not_taken_for_what_was_only_said() -> None:
    """What looks like one on standard error is somebody's text."""
    said = "configuration error: nothing is here\nlab error: the bench burns"
    [ended], _ = run(
        obey("rpi4", f"print({said!r}, file=sys.stderr); raise errors.LabError('no board')"),
    )
    assert str(ended.error()) == "rpi4: no board"
    [ended], _ = run(obey("rpi4", f"print({said!r}, file=sys.stderr); sys.exit(2)"))
    assert "its process ended with code 2" in str(ended.error())


def test_a_bug_in_one_is_not_lost_and_the_others_finish() -> None:
    [broken, good], told = run(
        obey("rpi4", "1 / 0"),
        obey("gateway", "time.sleep(0.5); print('done')"),
    )
    assert good.answer == "done"
    error = broken.error()
    assert type(error) is HarnessError
    assert error.exit_code == 1
    assert any("ZeroDivisionError" in line for line in told)


def test_an_interrupted_child_is_lab_trouble_and_the_others_finish() -> None:
    [stopped, killed, good], _ = run(
        obey("a", "os.kill(os.getpid(), signal.SIGINT)"),
        obey("b", "os.kill(os.getpid(), signal.SIGKILL)"),
        obey("c", "time.sleep(0.5); print('done')"),
    )
    assert [stopped.code, killed.code, good.code] == [130, -signal.SIGKILL, 0]
    assert "a: its process was interrupted" in str(stopped.error())
    assert "b: its process was killed by signal 9" in str(killed.error())
    assert good.answer == "done"


def test_a_usage_error_is_the_users() -> None:
    [ended], _ = run(Job(name="rpi4", words=("obey",)))
    error = ended.error()
    assert isinstance(error, ConfigurationError)
    assert "Missing argument" in error.details


# A run of scenarios as the runner has it: the worker owns the board, and has to close it.
SUITE = """
import pathlib, time, pytest

@pytest.fixture(scope="session")
def board():
    yield
    time.sleep(1)
    pathlib.Path("closed").touch()

def test_long(board):
    pathlib.Path("begun").touch()
    time.sleep(300)
"""


def test_workers_of_a_child_close_their_boards_when_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    suite = (
        f"import pytest; os.chdir({str(tmp_path)!r})\n"
        "words = ['-n', '1', '-v', '-p', 'no:cacheprovider', '--rootdir', '.', 'test_suite.py']\n"
        "if pytest.main(words) == pytest.ExitCode.INTERRUPTED: raise KeyboardInterrupt"
    )
    begun = tmp_path / "begun"

    def interrupt() -> None:
        wait_for(begun.exists, 30)
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        run(obey("rpi4", suite))
    helper.join()
    assert (tmp_path / "closed").exists()


# A parent as `harness test` is one: two children that clean up when they are interrupted.
CLEANING = """
try:
    pathlib.Path("NAME.begun").touch()
    while True: time.sleep(0.05)
finally:
    print("closing", file=sys.stderr)
    time.sleep(0.3)
    pathlib.Path("NAME.closed").touch()
"""
PARENT = f"""
import sys
from harness import cli
from harness.scenarios import children
@cli.app.command()
def matrix():
    children.run_all(
        [children.Job(name=n, words=("obey", {CLEANING!r}.replace("NAME", n))) for n in "ab"],
        tell=lambda name, line: print(name, line, flush=True),
        program={PROGRAM!r},
    )
cli.main()
"""


@pytest.mark.parametrize(
    ("stop", "ignored"),
    [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True)],
)
def test_an_interruption_reaches_every_child_and_waits_for_it(
    tmp_path: Path, stop: signal.Signals, ignored: bool
) -> None:
    """Also below a shell's `&`, which has Ctrl-C ignored: the harness takes SIGTERM then."""
    words = [sys.executable, "-c", PARENT, "matrix"]
    if ignored:
        words = ["env", "--ignore-signal=INT", *words]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as parent:
        try:
            wait_for(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
            parent.send_signal(stop)
            out, _ = parent.communicate(timeout=20)
        finally:
            parent.kill()
    assert parent.returncode == 130
    assert sorted(path.name for path in tmp_path.glob("*.closed")) == ["a.closed", "b.closed"]
    assert {"a closing", "b closing"} <= set(out.splitlines())


def test_a_child_that_does_not_end_is_killed_at_the_second_interruption(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    stubborn = (
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        f"pathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\n"
        "print('ready', file=sys.stderr)\n"
        "while True: time.sleep(1)"
    )

    def interrupt_twice() -> None:
        for _ in range(2):
            heard.wait(timeout=20)
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(1)

    heard = threading.Event()
    helper = threading.Thread(target=interrupt_twice)
    helper.start()
    with pytest.raises(KeyboardInterrupt):
        run_all([obey("a", stubborn)], tell=lambda *_: heard.set(), program=PROGRAM)
    helper.join()
    wait_for(lambda: not alive(int(mark.read_text())))


def test_of_several_errors_the_one_that_matters_most_gives_the_kind() -> None:
    lab, device = LabError("rpi4: no QEMU"), DeviceError("gateway: bricked", hint="see there")
    error = worst({"rpi4": lab, "gateway": device})
    assert type(error) is DeviceError
    assert "rpi4: lab error, gateway: device failure" in error.brief
    assert "lab error: rpi4: no QEMU" in error.details
    assert "device failure: gateway: bricked\nhint: see there" in error.details
    assert type(worst({"a": device, "b": HarnessError("a bug")})) is HarnessError
    assert worst({"rpi4": lab}) is lab
