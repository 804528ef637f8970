"""labgrid's calls under a deadline, and its many errors as one: trouble of the lab.

Stock drivers wait without end (a hung relay never returns), and raise whatever was under them: bare
KeyError, BrokenPipeError, requests' and gRPC's errors. None of them is the device's failure.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pexpect

from harness.errors import DeviceError, HarnessError, LabError

_Answer = TypeVar("_Answer")


def within(seconds: float, what: str, call: Callable[[], _Answer], *, hint: str = "") -> _Answer:
    """What `call` answers; LabError, beginning with `what`, when it raises or takes longer. A call
    that hangs is left behind in a thread of its own."""
    answers: list[_Answer] = []
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # SystemExit, too: that is how some of them give up
            failures.append(error)

    thread = threading.Thread(target=ask, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if answers:
        return answers[0]
    if not failures:
        raise LabError(f"{what}: no answer within {seconds:g} s", hint=hint)
    if isinstance(failures[0], HarnessError):
        raise failures[0]
    raise LabError(f"{what}: {told(failures[0])}", hint=hint) from failures[0]


@contextlib.contextmanager
def speaking(what: str) -> Iterator[None]:
    """A block in which labgrid's ShellDriver speaks with a board: what is waited for in vain is a
    DeviceError, all else (bare exceptions, bytes that are no text) trouble of the lab."""
    try:
        yield
    except HarnessError:
        raise
    except pexpect.ExceptionPexpect as error:
        raise DeviceError(f"{what}: {told(error)}") from error
    except Exception as error:  # labgrid's have no root in common
        raise LabError(
            f"{what}: {told(error)}",
            hint="the speed of the serial line, a second reader, or the lab file's ShellDriver",
        ) from error


def told(error: BaseException) -> str:
    """An error of others in one line: the kind tells more than the text of a KeyError."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
