"""SSH to a board, with deadlines that hold and a dead link noticed at once.

On paramiko and not on OpenSSH's client, which can hang for minutes after a power cut. paramiko
itself waits without limit in places (for the answer to an `exec` request, for one), so each
operation runs under a watchdog that shuts the socket down at the deadline: every wait in paramiko
then ends, as it does when the board dies.

The board makes its host key at its first boot, so nobody can know it before: the key seen at the
first contact after flashing is pinned, and another one later is a failure of the board.
"""

import contextlib
import logging
import select
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko

from harness.boards.board import CommandResult
from harness.deadline import Deadline
from harness.errors import (
    ConfigurationError,
    DeviceError,
    HarnessError,
    IdentityChanged,
    LabError,
)

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # we raise what matters

_ATTEMPT = 10.0  # seconds for one attempt to connect: a board that boots swallows the first ones
_PAUSE = 0.2  # seconds between two attempts
_AGAIN = 75  # EX_TEMPFAIL
_CHANGING = (
    3.0  # seconds for the first attempt while the board's network changes: it may go nowhere
)


class SshLink:
    """A connection to a board's SSH server, made on demand.

    `address` is asked before each connection: a QEMU board's port changes from boot to boot.
    `pin` is the file that holds the host key of the first contact. `prepare` is a command that is
    run first on every connection; its return code 75 (sysexits.h, EX_TEMPFAIL) means: the network
    is about to change, connect again. Of a lab whose network hangs now and then, `revive` sets it
    up again, once. When such a change has cut the board off, and its server answers on the board
    itself (`answers_itself`), it is not the board that has failed.
    """

    def __init__(
        self,
        address: Callable[[], tuple[str, int]],
        *,
        user: str,
        key: Path,
        pin: Path,
        prepare: str = "",
        patience: float = 0.0,
        revive: Callable[[], None] | None = None,
        answers_itself: Callable[[], bool] | None = None,
    ) -> None:
        self._patience = patience
        self._revive = revive
        self._answers_itself = answers_itself
        self._address = address
        self._prepare = prepare
        self._user = user
        self._key = key
        self._pin = pin
        self._transport: paramiko.Transport | None = None
        self._epoch = 0  # grows with each hanging up: what began before it ends
        self._lock = threading.Lock()
        self._changing: tuple[str, int] | None = None  # address of the boot whose network changes

    def run(
        self, command: str, *, timeout: float, connect: float | None = None, stdin: bytes = b""
    ) -> CommandResult:
        """Run a shell command, all told within `timeout` seconds.

        Connecting is tried again until `connect` (default: `timeout`) seconds have passed; the
        command itself is never sent twice. A command that a signal killed has return code -1.
        DeviceError when time runs out or the link dies.
        """
        deadline, epoch = Deadline(timeout), self._epoch
        transport = self._connected(Deadline(min(timeout, connect or timeout)), epoch)
        if self._patience:  # connecting was the lab's share of the time
            deadline = Deadline(timeout)
        try:
            with _watchdog(transport, deadline):
                return _execute(transport, command, stdin, deadline)
        except (paramiko.SSHException, OSError, EOFError) as error:
            self._drop(transport)
            if deadline.over:
                raise DeviceError(f"ssh: no end within {timeout:g} s: {command}") from error
            why = str(error) or "connection lost"
            raise DeviceError(f"ssh: the link died during: {command}", details=why) from error

    def put(self, content: bytes, path: str, *, timeout: float) -> None:
        """Write a file: complete and synced under a temporary name, then renamed.

        DeviceError when the board cannot; the old file is then untouched.
        """
        name = shlex.quote(path)
        part = shlex.quote(f"{path}.part")
        script = (
            f'cat > {part} && [ "$(wc -c < {part})" -eq {len(content)} ] && sync {part}'
            f' && mv {part} {name} && sync "$(dirname {name})"'
        )
        result = self.run(script, timeout=timeout, stdin=content)
        if result.returncode != 0:
            raise DeviceError(f"ssh: cannot write {path} on the board", details=result.stderr)

    def host_key(self, *, timeout: float) -> str:
        """The public key that the server presents: `ssh-ed25519 AAAA...`; DeviceError as in `run`,
        IdentityChanged when it is not the pinned one."""
        key = self._connected(Deadline(timeout), self._epoch).get_remote_server_key()
        return f"{key.get_name()} {key.get_base64()}"

    def close(self) -> None:
        """Hang up; the next call connects anew. What another thread is about ends with a
        DeviceError, and is not begun again: it is of a boot that is over."""
        with self._lock:
            self._epoch += 1
            self._changing = None
            transport = self._transport
        if transport:
            self._drop(transport)

    def _drop(self, transport: paramiko.Transport) -> None:
        with self._lock:
            if self._transport is transport:
                self._transport = None
        _hang_up(transport)
        transport.close()

    def _require_wanted(self, epoch: int) -> None:
        if self._epoch != epoch:
            raise DeviceError("ssh: hung up while connecting")

    def _connected(self, deadline: Deadline, epoch: int) -> paramiko.Transport:
        with self._lock:
            self._require_wanted(epoch)
            transport = self._transport
        if transport and transport.is_active():
            return transport
        if transport:
            self._drop(transport)
        key = _private_key(self._key)
        if deadline.left() < self._patience:
            deadline = Deadline(self._patience)
        revive = self._revive
        pause = threading.Event()
        patience = _ATTEMPT
        while True:
            self._require_wanted(epoch)
            attempt = Deadline(min(patience, deadline.left()))
            try:
                transport = self._connect(key, attempt)
                if self._prepared(transport, attempt):
                    return self._kept(transport, epoch)
                transport.close()
                patience = _CHANGING
            except (paramiko.SSHException, OSError, EOFError) as error:
                if deadline.over:
                    raise self._unreachable(deadline, error) from error
                patience = min(2 * patience, _ATTEMPT)
            if revive and deadline.left() < self._patience / 2:
                revive()
                revive = None
            pause.wait(min(_PAUSE, deadline.left()))

    def _kept(self, transport: paramiko.Transport, epoch: int) -> paramiko.Transport:
        with self._lock:
            if self._epoch == epoch:
                self._transport = transport
                return transport
        transport.close()
        raise DeviceError("ssh: hung up while connecting")

    def _unreachable(self, deadline: Deadline, error: Exception) -> DeviceError | LabError:
        told = f"ssh: no connection within {deadline.seconds:g} s"
        if self._cut_off() and self._answers_itself and self._answers_itself():
            return LabError(f"{told} since the lab changed its network; the board answers itself")
        return DeviceError(told, details=str(error))

    def _cut_off(self) -> bool:
        """Whether it could be reached in this boot, until the lab changed its network."""
        with contextlib.suppress(HarnessError):
            return self._changing is not None and self._changing == self._address()
        return False

    def _prepared(self, transport: paramiko.Transport, deadline: Deadline) -> bool:
        """Run `prepare`; False when the connection is not going to last."""
        if not self._prepare:
            return True
        try:
            with _watchdog(transport, deadline):
                code = _execute(transport, self._prepare, b"", deadline).returncode
        except BaseException:
            transport.close()
            raise
        if code not in (0, _AGAIN):
            transport.close()
            raise LabError(f"ssh_prepare of the lab file failed with exit code {code}")
        self._changing = self._address() if code else None
        return code == 0

    def _connect(self, key: paramiko.PKey, deadline: Deadline) -> paramiko.Transport:
        sock = socket.create_connection(self._address(), timeout=max(0.1, deadline.left()))
        try:
            transport = paramiko.Transport(sock)
        except BaseException:
            sock.close()
            raise
        transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = _ATTEMPT
        try:
            with _watchdog(transport, deadline):
                transport.start_client(timeout=max(0.1, deadline.left()))
                self._check(transport.get_remote_server_key())
                transport.auth_publickey(self._user, key)
        except paramiko.AuthenticationException as error:
            refused = transport.is_active() and not deadline.over  # and not cut off meanwhile
            transport.close()
            if not refused:
                raise paramiko.SSHException("no end of authentication") from error
            raise DeviceError(f"ssh: the board refuses the key {self._key}") from error
        except BaseException:
            transport.close()
            raise
        return transport

    def _check(self, key: paramiko.PKey) -> None:
        line = f"{key.get_name()} {key.get_base64()}\n"
        if not self._pin.exists():
            self._pin.write_text(line)
        elif self._pin.read_text() != line:
            raise IdentityChanged(
                "ssh: the board's host key is not the one it had before",
                details=f"pinned: {self._pin.read_text()}now:    {line}",
                hint="the key is made once, at the first boot after flashing: has /data been lost?",
            )


def _execute(
    transport: paramiko.Transport, command: str, stdin: bytes, deadline: Deadline
) -> CommandResult:
    channel = transport.open_session(timeout=max(0.1, deadline.left()))
    with contextlib.closing(channel):
        channel.settimeout(max(0.1, deadline.left()))
        channel.exec_command(command)
        if stdin:
            channel.sendall(stdin)
        channel.shutdown_write()
        stdout, stderr = bytearray(), bytearray()
        ended: bool = False
        while not ended:
            select.select([channel], [], [], min(1.0, deadline.left()))
            ended = channel.closed or bool(channel.eof_received and channel.exit_status_ready())
            while channel.recv_ready():
                stdout += channel.recv(1 << 16)
            while channel.recv_stderr_ready():
                stderr += channel.recv_stderr(1 << 16)
            if deadline.over:
                raise TimeoutError
        code = channel.recv_exit_status()
    if code == -1 and not transport.is_active():  # paramiko's word for: the server never said
        raise EOFError("the connection ended before the command did")
    return CommandResult(
        stdout=stdout.decode(errors="replace"),
        stderr=stderr.decode(errors="replace"),
        returncode=code,
    )


@contextlib.contextmanager
def _watchdog(transport: paramiko.Transport, deadline: Deadline) -> Iterator[None]:
    """Shut the connection down when the block has not ended by the deadline."""
    timer = threading.Timer(deadline.left(), _hang_up, [transport])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(transport: paramiko.Transport) -> None:
    with contextlib.suppress(OSError):  # closed already
        transport.sock.shutdown(socket.SHUT_RDWR)


def _private_key(path: Path) -> paramiko.PKey:
    try:
        return paramiko.Ed25519Key.from_private_key_file(str(path))
    except FileNotFoundError:
        raise ConfigurationError(
            f"no SSH key {path}", hint="`harness build` makes it; or set $HARNESS_HOME"
        ) from None
    except (paramiko.SSHException, OSError) as error:
        raise LabError(f"cannot read the SSH key {path}: {error}") from error
