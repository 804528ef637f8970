"""A shared lab: labgrid's own coordinator and exporter, two clients for one place, their ends."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.boards.board import Board
from harness.boards.hardware import place
from harness.boards.lab import open_board
from harness.errors import ConfigurationError, LabError
from harness.log import WAITING, Event, sink
from tests.unit.boards.fake_bench import FakeDevice, served
from tests.unit.test_tries import Ran

LAB = """
options: {{coordinator_address: '{coordinator}'}}
targets:
  desk:
    options:
      machine: fake
      virtual: true
      boot_banner: 'boot selection: slot'
      relay_timeout: 5
      quiet: 0.2
      wait: {wait}
    resources: {{RemotePlace: {{name: desk}}}}
    drivers:
      NetworkPowerDriver: {{}}
      SerialDriver: {{}}
      ShellDriver: {{prompt: '# ', login_prompt: 'login: ', username: root}}
  tagged:
    options:
      machine: fake
      virtual: true
      boot_banner: 'boot selection: slot'
      relay_timeout: 5
      quiet: 0.2
      reserve: {{machine: fake}}
    resources: {{RemotePlace: {{name: '+'}}}}
    drivers:
      NetworkPowerDriver: {{}}
      SerialDriver: {{}}
      ShellDriver: {{prompt: '# ', login_prompt: 'login: ', username: root}}
"""
EXPORTER = """
desk:
  NetworkPowerPort:
    model: rest
    host: 'http://127.0.0.1:{http}/relay/{{index}}/value'
    index: 1
  NetworkSerialPort: {{host: 127.0.0.1, port: {serial}, protocol: raw}}
  NetworkService: {{address: 127.0.0.1, port: 9, username: root}}
"""


@dataclass
class Shared:
    """A coordinator with one place and the exporter of its resources."""

    coordinator: str
    folder: Path
    exporter: subprocess.Popen[bytes]
    server: subprocess.Popen[bytes]

    def lab(self, *, wait: int = 0) -> Path:
        file = self.folder / f"lab-{wait}.yaml"
        file.write_text(LAB.format(coordinator=self.coordinator, wait=wait))
        return file

    def client(self, *words: str) -> str:
        program = Path(sys.executable).with_name("labgrid-client")
        command = [str(program), "-x", self.coordinator, *words]
        return subprocess.check_output(command, text=True, timeout=60)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    for name in ("CACHE", "HOME"):
        monkeypatch.setenv(f"HARNESS_{name}", str(tmp_path / name))
    (tmp_path / "HOME/pki").mkdir(parents=True)
    monkeypatch.setenv("LG_HOSTNAME", "here")
    monkeypatch.setenv("LG_USERNAME", "nobody")  # is changed, and must be given back
    with contextlib.ExitStack() as stack:
        device = stack.enter_context(served(FakeDevice()))
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        names = {"http": device.http_port, "serial": device.port}
        (tmp_path / "exporter.yaml").write_text(EXPORTER.format(**names))
        server = stack.enter_context(_program(tmp_path, "labgrid-coordinator", "-l", address))
        _until(lambda: _listens(address))
        words = ["-c", address, "--name", "virtual", "--hostname", "127.0.0.1"]
        exporter = stack.enter_context(
            _program(tmp_path, "labgrid-exporter", *words, str(tmp_path / "exporter.yaml"))
        )
        found = Shared(address, tmp_path, exporter, server)
        _until(lambda: "NetworkService" in found.client("resources"))
        found.client("-p", "desk", "create")
        found.client("-p", "desk", "add-match", "virtual/desk/*")
        found.client("-p", "desk", "set-tags", "machine=fake")
        yield found


@contextlib.contextmanager
def _program(folder: Path, name: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    program = Path(sys.executable).with_name(name)
    with (folder / f"{name}.log").open("wb") as log:
        started = subprocess.Popen([program, *words], stdout=log, stderr=log, cwd=folder)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_place_is_acquired_under_a_name_of_the_run_and_given_back(shared: Shared) -> None:
    for board in ("desk", "tagged"):
        with open_board(shared.lab(), board) as opened:
            assert f"here/{place.own_user()}" in shared.client("-p", "desk", "show")
            opened.power_on()
            opened.expect("login: ", timeout=10)
        assert place.held(shared.coordinator) == {"desk": ""}


def test_who_has_a_place_is_told_and_waited_for(shared: Shared) -> None:
    shared.client("-p", "desk", "acquire")
    waits: list[str] = []

    def note(event: Event) -> None:
        if event["event"] == WAITING:
            waits.append(str(event["why"]))
            threading.Thread(target=shared.client, args=["-p", "desk", "release", "--kick"]).start()

    at_once = open_board(shared.lab(), "desk")
    with pytest.raises(LabError, match="desk is in use by here/nobody, since"), at_once:
        pytest.fail("it was opened")
    with sink(note), open_board(shared.lab(wait=60), "desk") as board:
        assert board.boots == 0
    assert waits[0].startswith("desk is in use by here/nobody, since ")


def test_a_place_that_a_killed_run_left_is_given_back(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LG_USERNAME", "harness-999999999-1")
    shared.client("-p", "desk", "acquire")
    monkeypatch.setenv("LG_USERNAME", "nobody")
    with open_board(shared.lab(), "desk") as board:
        assert board.boots == 0


@pytest.mark.parametrize(
    ("dies", "told"),
    [("exporter", "has gone"), ("server", "is not ours any more")],
)
def test_what_dies_in_the_middle_is_trouble_of_the_lab(
    shared: Shared, dies: str, told: str
) -> None:
    def used(board: Board) -> None:
        board.power_on()
        board.expect("login: ", timeout=10)
        getattr(shared, dies).kill()
        time.sleep(2)
        with pytest.raises(LabError, match=told):
            board.wait_boots(2, timeout=1)
        with pytest.raises(LabError, match=told):
            board.check_lab()

    with open_board(shared.lab(), "desk") as opened:
        used(opened)


SCENARIO = """
import contextlib, os, signal, subprocess, sys, time
from pathlib import Path
from harness.boards.lab import open_board

@pytest.fixture(scope="session")
def bench():
    with open_board(Path({lab!r}), "desk") as board:
        note("open")
        bench = FakeBench()
        bench.board = board
        yield bench
    note("close")

def test_update(scenario, bench):
    with scenario:
        bench.board.power_on()
        bench.board.expect("login: ", timeout=10)
        if first():
            os.kill({pid}, signal.SIGKILL)
            again = subprocess.Popen({command!r}, shell=True, cwd={folder!r},
                start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            (HERE / "pid").write_text(str(again.pid))
            time.sleep(2)
            bench.board.wait_boots(2, timeout=1)
        scenario.conclude(GOOD, expected={{Verdict.NEW}})
"""


@pytest.mark.parametrize("dies", ["exporter", "server"])
def test_a_scenario_whose_lab_is_started_again_is_tried_again(
    shared: Shared, tmp_path: Path, dies: str
) -> None:
    """labgrid's own programs, killed in the middle and started again: the place is acquired anew,
    by the same process."""
    process: subprocess.Popen[bytes] = getattr(shared, dies)
    # An exporter ends with its coordinator, and is started again as well.
    programs = [shared.exporter] if dies == "exporter" else [shared.server, shared.exporter]
    lines = [shlex.join(map(str, each.args)) for each in programs]  # type: ignore[arg-type]
    command = "".join(f"sleep 3; {line} & " for line in lines) + "wait"
    # The coordinator writes its places down now and then.
    _until((shared.folder / "places.yaml").exists)
    names = {"lab": str(shared.lab(wait=30)), "pid": process.pid, "folder": str(shared.folder)}
    (folder := tmp_path / "scenario").mkdir()
    kept = ("HARNESS_CACHE", "HARNESS_HOME", "LG_HOSTNAME", "PATH")
    try:
        text = SCENARIO.format(command=command, **names)
        env = {name: os.environ[name] for name in kept}
        ran = Ran(folder, text, env={**env, "PAUSES": "[0, 2, 4, 8, 16]"})
    finally:
        with contextlib.suppress(OSError):
            os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
    [record] = ran.records("update")
    assert (record["outcome"], ran.noted.count("open"), ran.noted[-2:]) == (
        *("passed", 2),
        ["open", "close"],
    )
    [earlier] = record["earlier"]
    told = "has gone" if dies == "exporter" else "is not ours any more"
    assert told in earlier["error"]
    assert earlier["console_logs"][0] == "console/update/boot-1.log"
    assert record["console_logs"][0] == "console/update/try-2/boot-1.log"


def test_a_coordinator_that_hangs_is_trouble_of_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_ANSWER", 1.0)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(LabError, match=f"coordinator {address}: no answer within 1 s"):
            place.held(address)
        with pytest.raises(LabError, match="no answer within 1 s"):
            place.LabPlace(address)
    assert time.monotonic() - began < 10


def test_a_place_that_is_none_is_told(shared: Shared) -> None:
    shared.client("-p", "desk", "delete")
    opened = open_board(shared.lab(), "desk")
    with pytest.raises(ConfigurationError, match="has no place 'desk'"), opened:
        pytest.fail("it was opened")
