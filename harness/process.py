"""The only module that starts processes.

Every process gets an argument list, closed standard input, its own process group and a deadline;
on timeout or Ctrl-C the whole group is killed and reaped. A child also dies with the harness
itself (`setpriv --pdeathsig`, see prctl(2)), so that not even a killed harness leaves a QEMU
behind.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import HarnessError, LabError

_LAST_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a finished command printed; `stdout` is empty when it went to a log file."""

    stdout: str
    stderr: str
    returncode: int


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    error: type[HarnessError] = LabError,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    cwd: Path | None = None,
    stdin: str | Path | None = None,
    largest: int = 0,
    check: bool = True,
) -> Completed:
    """Run `argv` to its end within `timeout` seconds and return what it printed.

    With `log`, both streams are appended to that file instead. `env` is added to the harness's
    own environment, from which `without` is taken; `stdin` is text to send or a file to read.
    `largest`: more bytes than that are a failure, for what strangers answer. Raises `error` (the
    kind says whose fault a failure is) with the command in a form that can be pasted into a shell,
    its last lines, and where the whole log is.
    """
    words = [str(word) for word in argv]
    sink = log.open("ab") if log else _gathering() if largest else None
    source = stdin.open("rb") if isinstance(stdin, Path) else None
    text = stdin.encode() if isinstance(stdin, str) else None
    try:
        process = subprocess.Popen(
            _prepared(words, error),
            stdin=source or (subprocess.DEVNULL if text is None else subprocess.PIPE),
            stdout=sink or subprocess.PIPE,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            env={**{k: v for k, v in os.environ.items() if k not in without}, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(text, timeout=timeout)
        except BaseException as interruption:
            kill_group(process)
            if not isinstance(interruption, subprocess.TimeoutExpired):
                raise
            raise _failure(error, words, f"took longer than {timeout:g} s", log, "") from None
        if sink and not log:
            out = _printed(sink, largest)
        if largest and len(out or b"") > largest:
            raise _failure(error, words, f"printed more than {largest:,} bytes", log, "")
    finally:
        if sink:
            sink.close()
        if source:
            source.close()
    done = Completed(
        stdout=(out or b"").decode(errors="replace"),
        stderr=(err or b"").decode(errors="replace"),
        returncode=process.returncode,
    )
    if check and done.returncode != 0:
        raise _failure(
            error, words, f"exit code {done.returncode}", log, done.stderr or done.stdout
        )
    return done


def _gathering() -> IO[bytes]:
    """A file without a name: what is printed may be more than fits into memory."""
    return tempfile.TemporaryFile()


def _printed(sink: IO[bytes], largest: int) -> bytes:
    """What is in the file, and a byte more than `largest` where that is more."""
    sink.seek(0)
    return sink.read(largest + 1)


@contextlib.contextmanager
def background(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server for the length of a `with` block; killed with its group and reaped at the end."""
    process = start(argv, log=log, env=env)
    try:
        yield process
    finally:
        kill_group(process)


def start(
    argv: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a server that the caller owns and must end with `kill_group`; output goes to `log`.

    Raises LabError when the program is missing. Must be called from a thread that outlives the
    server: PR_SET_PDEATHSIG fires when the starting *thread* ends (prctl(2)).
    """
    words = [str(word) for word in argv]
    with log.open("ab") as sink:
        return subprocess.Popen(
            _prepared(words, LabError),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env} if env else None,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )


def piped(argv: Sequence[str | Path], *, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a program whose output the caller reads, and ends with `interrupt_group` or
    `kill_group`. Raises LabError when the program is missing; same rule for threads as `start`.
    """
    setpriv, program = _prepared([str(word) for word in argv], LabError), len(argv)
    # A shell starts what it sends to the background with Ctrl-C ignored, and that is inherited.
    words = [*setpriv[:-program], "env", "--default-signal=INT", *setpriv[-program:]]
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )


def dialogue(argv: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    """Start a program that the caller speaks with, and ends with `kill_group`; what it prints as
    errors goes to the same pipe as its answers. LabError when it is missing; same rule for threads
    as `start`."""
    return subprocess.Popen(
        _prepared([str(word) for word in argv], LabError),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def detach(argv: Sequence[str | Path], *, log: Path) -> subprocess.Popen[bytes]:
    """Start a process that outlives the harness, in a session of its own; output goes to `log`.

    Only for what a person switches off again (a bench board's power); everything else dies with us.
    """
    with log.open("wb") as sink:
        return subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def interact(argv: Sequence[str | Path]) -> int:
    """Run a program on the user's terminal until it ends; returns its exit code."""
    words = _prepared([str(word) for word in argv], LabError)
    with subprocess.Popen(words) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the terminal sent it to the program too, which decides
            return process.wait()


def interrupt_group(process: subprocess.Popen[bytes]) -> None:
    """SIGINT to the process's whole group, as a terminal does for Ctrl-C: a request to end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGINT)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the process's whole group and reap the process; safe to call twice."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


def _prepared(words: Sequence[str], error: type[HarnessError]) -> list[str]:
    """The words to execute, after a check that the program exists; killed when its parent dies."""
    if shutil.which(words[0]) is None:
        raise error(
            f"cannot start {words[0]}: no such program",
            hint="`harness setup` names the Debian packages that are missing",
        )
    return ["setpriv", "--pdeathsig", "KILL", "--", *words]


def _failure(
    error: type[HarnessError], words: Sequence[str], what: str, log: Path | None, output: str
) -> HarnessError:
    if log and log.exists():
        output = log.read_text(errors="replace")
    tail = "\n".join("  " + line for line in output.splitlines()[-_LAST_LINES:])
    return error(
        f"{Path(words[0]).name} failed: {what}",
        details=f"$ {shlex.join(words)}\n{tail}".rstrip(),
        hint=f"the whole log is {log}" if log else "",
    )
