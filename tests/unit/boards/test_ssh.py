"""The SSH client against a real sshd: deadlines hold and a dead link is an error at once."""

import os
import pwd
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.boards.ssh import SshLink
from harness.errors import ConfigurationError, DeviceError, IdentityChanged, LabError

SSHD = Path("/usr/sbin/sshd")
pytestmark = pytest.mark.skipif(
    not SSHD.exists() and not os.environ.get("CI"), reason="needs package openssh-server"
)


class Server:
    """An sshd of our own on an ephemeral port, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("host", "user"):
            keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(keygen, check=True)
        config = folder / "sshd_config"
        config.write_text(
            f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\n"
            "PidFile none\nUsePAM no\n"
            # A login shell's own files are anybody's, and may wait for anything.
            f"SetEnv HOME={folder}\n"
        )
        # Inetd mode on a socket of ours: the port is known and there is nothing to wait for.
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.children: list[subprocess.Popen[bytes]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                config, log = (str(self.folder / name) for name in ("sshd_config", "log"))
                child = subprocess.Popen(
                    [str(SSHD), "-i", "-f", config, "-E", log],
                    stdin=connection.fileno(),
                    stdout=connection.fileno(),
                    start_new_session=True,
                )
                self.children.append(child)

    def signal(self, number: signal.Signals) -> None:
        """To every sshd, the monitor and its unprivileged children, and what they run."""
        for pid in self._family():
            os.kill(pid, number)

    def _family(self) -> list[int]:
        found = [child.pid for child in self.children if child.poll() is None]
        for pid in found:
            for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(word) for word in tasks.read_text().split()]
        return found

    def close(self) -> None:
        # shutdown wakes the accepting thread; close alone does not
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.signal(signal.SIGKILL)
        for child in self.children:
            child.wait()

    def link(self, *, prepare: str = "", **changes: Path) -> SshLink:
        files = {"key": self.folder / "user", "pin": self.folder / "pin", **changes}
        user = pwd.getpwuid(os.geteuid()).pw_name
        return SshLink(
            lambda: ("127.0.0.1", self.port),
            user=user,
            key=files["key"],
            pin=files["pin"],
            prepare=prepare,
        )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation wants it
    started = Server(tmp_path)
    yield started
    started.close()


@pytest.fixture
def link(server: Server) -> Iterator[SshLink]:
    made = server.link()
    yield made
    made.close()


def test_result_of_a_command(link: SshLink) -> None:
    result = link.run("echo out; echo err >&2; exit 3", timeout=20)
    assert (result.stdout, result.stderr, result.returncode) == ("out\n", "err\n", 3)
    big = link.run("head -c 3000000 /dev/zero | tr '\\0' x", timeout=20)
    assert len(big.stdout) == 3_000_000
    assert link.run("kill -9 $$", timeout=20).returncode == -1


def test_put_writes_all_or_nothing(link: SshLink, tmp_path: Path) -> None:
    target = tmp_path / "a file's name"
    link.put(b"\0\n" * 500_000, str(target), timeout=20)
    assert target.read_bytes() == b"\0\n" * 500_000
    with pytest.raises(DeviceError, match="cannot write"):
        link.put(b"x", str(tmp_path / "missing" / "file"), timeout=20)


def fails_within(seconds: float, message: str, link: SshLink, command: str, limit: float) -> None:
    began = time.monotonic()
    with pytest.raises(DeviceError, match=message):
        link.run(command, timeout=limit)
    assert time.monotonic() - began < seconds


def test_a_command_that_hangs(link: SshLink) -> None:
    link.run("true", timeout=20)
    fails_within(3, r"no end within 1 s: sleep 60", link, "sleep 60", 1)
    assert link.run("echo again", timeout=20).stdout == "again\n"


def test_a_command_that_prints_without_end(link: SshLink) -> None:
    link.run("true", timeout=20)
    fails_within(4, r"no end within 1 s", link, "yes", 1)


def test_a_server_that_dies(server: Server, link: SshLink) -> None:
    link.run("true", timeout=20)
    threading.Timer(0.5, server.signal, [signal.SIGKILL]).start()
    fails_within(5, "the link died during: sleep 60", link, "sleep 60", 60)
    assert link.run("echo again", timeout=20).stdout == "again\n"


def test_a_server_that_stops(server: Server, link: SshLink) -> None:
    link.run("true", timeout=20)
    threading.Timer(0.5, server.signal, [signal.SIGSTOP]).start()
    fails_within(4, "no end within 2 s", link, "sleep 60", 2)


def test_a_server_that_stopped_before_the_command(server: Server, link: SshLink) -> None:
    link.run("true", timeout=20)
    server.signal(signal.SIGSTOP)
    fails_within(3, "no end within 1 s", link, "true", 1)


def test_a_server_that_never_greets(tmp_path: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = SshLink(silent.getsockname, user="x", key=tmp_path / "user", pin=tmp_path / "pin")
        fails_within(3, "no connection within 1 s", link, "true", 1)


def test_nobody_listens(tmp_path: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    link = SshLink(lambda: address, user="x", key=tmp_path / "user", pin=tmp_path / "pin")
    fails_within(3, "no connection within 1 s", link, "true", 1)


def test_the_network_of_an_unreliable_lab_is_given_time_and_reset_once(
    tmp_path: Path, server: Server
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    resets: list[str] = []
    link = SshLink(
        lambda: address,
        user="x",
        key=tmp_path / "user",
        pin=tmp_path / "pin",
        patience=2,
        revive=lambda: resets.append("reset"),
    )
    fails_within(5, "no connection within 2 s", link, "true", 1)
    assert resets == ["reset"]


@pytest.mark.parametrize(
    ("changes", "answers", "kind"),
    [(True, True, LabError), (True, False, DeviceError), (False, True, DeviceError)],
)
def test_a_board_that_the_lab_has_cut_off_has_not_failed(
    server: Server, changes: bool, answers: bool, kind: type[Exception]
) -> None:
    """Only if it could be reached before, and is well: a board without a network has failed."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = gone.getsockname()
    link = SshLink(
        lambda: ("127.0.0.1", server.port) if changes else nobody,
        user=pwd.getpwuid(os.geteuid()).pw_name,
        key=server.folder / "user",
        pin=server.folder / "pin",
        prepare="exit 75",  # for ever: the change does not end
        answers_itself=lambda: answers,
    )
    with pytest.raises(kind, match="no connection within 3 s"):
        link.run("true", timeout=3)


def test_who_hangs_up_ends_what_is_connecting(server: Server, tmp_path: Path) -> None:
    """It would be sent to whatever board answers there next."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        nobody = gone.getsockname()
    address = [nobody]
    link = SshLink(
        lambda: address[0],
        user=pwd.getpwuid(os.geteuid()).pw_name,
        key=server.folder / "user",
        pin=server.folder / "pin",
        patience=60,
    )
    told: list[str] = []

    def update() -> None:
        try:
            link.run(f"touch {tmp_path}/rebooted", timeout=60)
        except DeviceError as error:
            told.append(error.brief)

    thread = threading.Thread(target=update, daemon=True)
    thread.start()
    time.sleep(0.5)
    link.close()  # the power goes
    address[0] = ("127.0.0.1", server.port)  # and comes again
    thread.join(20)
    assert (told, (tmp_path / "rebooted").exists()) == (["ssh: hung up while connecting"], False)
    assert link.run("true", timeout=20).returncode == 0


def test_another_host_key_is_a_failure_of_the_board(server: Server, link: SshLink) -> None:
    link.run("true", timeout=20)
    pin = server.folder / "pin"
    assert re.fullmatch(r"ssh-ed25519 \S+\n", pin.read_text())
    known = pin.read_text()
    assert link.host_key(timeout=20) == known.strip()
    link.close()
    pin.write_text("ssh-ed25519 AAAA\n")
    with pytest.raises(IdentityChanged, match="host key is not the one"):
        link.run("true", timeout=20)


def test_a_key_that_is_refused_or_missing(server: Server) -> None:
    with pytest.raises(DeviceError, match="refuses the key"):
        server.link(key=server.folder / "host").run("true", timeout=20)
    with pytest.raises(ConfigurationError, match="no SSH key"):
        server.link(key=server.folder / "none").run("true", timeout=20)


def test_prepares_each_connection(server: Server, tmp_path: Path) -> None:
    """75 means "connect again", and the command itself is not run on a connection that dies."""
    count = tmp_path / "count"
    link = server.link(prepare=f"echo x >>{count}; [ $(wc -l <{count}) -ge 3 ] || exit 75")
    assert link.run(f"cat {count}", timeout=30).stdout == "x\n" * 3
    link.run("true", timeout=10)
    assert count.read_text() == "x\n" * 3  # the same connection
    link.close()
    link.run("true", timeout=10)
    assert count.read_text() == "x\n" * 4
    link.close()


def test_preparation_that_fails_is_the_labs_fault(server: Server) -> None:
    with pytest.raises(LabError, match="ssh_prepare of the lab file failed with exit code 3"):
        server.link(prepare="exit 3").run("true", timeout=10)
