"""Command lines of the harness in processes of their own: several at once, told apart by name.

pytest runs only once at a time in a process, and a machine that breaks must not take the others
with it. A child's standard error is told line by line, its steps become steps of this process
(with `machine`, the job's name), and its standard output is kept: that is its answer. What it ends
with comes among its steps (`errors.EVENT`).

Children are followed from the calling thread alone: they die with it (see `process`).
"""

import contextlib
import json
import logging
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import errors, process
from harness.deadline import Deadline
from harness.errors import KINDS, HarnessError, LabError
from harness.log import emit

HARNESS = (sys.executable, "-P", "-m", "harness")
Tell = Callable[[str, str], None]  # name of the job, one line

_LAST_LINES = 15  # of standard error, for the message of one that has told no error
# pytest-xdist gives its workers 10 s to close their boards when the controller is interrupted.
_SECONDS_TO_END = 30.0
# A signal that arrives just before a wait, or in another thread, does not end it.
_SECONDS_DEAF = 0.25
# Exit codes, what makes the answer worth least first: a bug, wrong input, a device that failed, a
# refused promotion; lab trouble last, as it says nothing about the product.
_PRECEDENCE = (1, 2, 4, 5, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command line of the harness to run, without the program; `name` tells it from others."""

    name: str
    words: tuple[str | Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a job. `code` below 0 is the signal that killed it."""

    name: str
    code: int
    answer: str  # its standard output
    said: tuple[str, ...]  # the last lines of its standard error
    told: HarnessError | None = None  # what it ended with, in its own words

    def error(self) -> HarnessError | None:
        """What the child complained of, as the same kind of error; None when it succeeded.

        A child that was ended from outside is the lab's trouble: it may be run again.
        """
        if self.code == 0:
            return None
        if self.code < 0 or self.code == 130:
            how = f"killed by signal {-self.code}" if self.code < 0 else "interrupted"
            return LabError(f"{self.name}: its process was {how}", hint="run it again")
        if self.told and self.told.exit_code == self.code:
            return self.told
        tail = "\n".join(f"  {line}" for line in self.said[-_LAST_LINES:])
        kind = next((each for each in KINDS if each.exit_code == self.code), HarnessError)
        return kind(f"{self.name}: its process ended with code {self.code}", details=tail)


def run_all(
    jobs: Sequence[Job],
    *,
    tell: Tell,
    on_end: Callable[[Ended], None] = lambda _: None,
    program: Sequence[str | Path] = HARNESS,
) -> list[Ended]:
    """Run all jobs at the same time to their ends, whatever these are; in the order of `jobs`.

    `tell` gets each line as it comes, `on_end` each job that ended. There is no deadline: each
    child keeps its own. When this is interrupted or broken, all children are interrupted, have 30 s
    to clean up, and are killed then; a second interruption kills them at once.
    """
    ended: dict[str, Ended] = {}

    def end(child: _Child) -> None:
        ended[child.job.name] = child.end()
        on_end(ended[child.job.name])

    with contextlib.ExitStack() as stack:
        streams = stack.enter_context(selectors.DefaultSelector())
        children = [stack.enter_context(_started(job, program, streams, tell)) for job in jobs]
        try:
            _follow(streams, end)
        finally:
            for child in children:
                if child.job.name not in ended:
                    process.interrupt_group(child.process)
            _follow(streams, lambda child: None, Deadline(_SECONDS_TO_END))
    return [ended[job.name] for job in jobs]


def worst(errors: Mapping[str, HarnessError]) -> HarnessError:
    """One error for those of several jobs (by name, at least one): of the kind that matters most.

    A bug comes before wrong input, then a device that failed, a refused promotion, the lab.
    """
    kind = type(min(errors.values(), key=lambda error: _PRECEDENCE.index(error.exit_code)))
    if len(errors) == 1:
        return next(iter(errors.values()))
    kinds = ", ".join(f"{name}: {error.kind}" for name, error in errors.items())
    details = "\n".join(f"{error.kind}: {error}" for error in errors.values())
    return kind(f"{len(errors)} did not pass ({kinds})", details=details)


class _Child:
    """A running job, and what it has said so far."""

    def __init__(self, job: Job, running: subprocess.Popen[bytes], tell: Tell) -> None:
        self.job = job
        self.process = running
        self.open_streams = 0
        self._tell = tell
        self._answer: list[str] = []
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._told: HarnessError | None = None

    def answered(self, line: str) -> None:
        self._answer.append(line)

    def said(self, line: str) -> None:
        self._said.append(line)
        self._tell(self.job.name, line)

    def stepped(self, line: str) -> None:
        """A step of the child, sent on as one of ours."""
        try:
            event = {**json.loads(line), "machine": self.job.name}
            if event["event"] == errors.EVENT:
                self._told = errors.of_data(event, where=self.job.name)
                return
        except ValueError:  # the half line of a child that was killed
            return
        emit(event.pop("event"), **event)

    def end(self) -> Ended:
        return Ended(
            name=self.job.name,
            code=self.process.wait(),
            answer="\n".join(self._answer),
            said=tuple(self._said),
            told=self._told,
        )


class _Stream:
    """One pipe of a child: takes bytes, hands on whole lines."""

    def __init__(self, child: _Child, receive: Callable[[str], None]) -> None:
        self.child = child
        self._receive = receive
        self._rest = b""

    def take(self, data: bytes) -> None:
        """More bytes; none means that the other end is closed."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data and self._rest:
            lines, self._rest = [self._rest], b""
        for line in lines:
            self._receive(line.decode(errors="replace"))


@contextlib.contextmanager
def _started(
    job: Job, program: Sequence[str | Path], streams: selectors.BaseSelector, tell: Tell
) -> Iterator[_Child]:
    """A job's process, its pipes among `streams`; its group is gone at the end of the block."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as events:
        try:
            running = process.piped([*program, *_options(writing), *job.words], pass_fds=(writing,))
        finally:
            os.close(writing)
        try:
            child = _Child(job, running, tell)
            receivers = {
                running.stdout: child.answered,
                running.stderr: child.said,
                events: child.stepped,
            }
            for pipe, receive in receivers.items():
                if pipe:
                    streams.register(pipe, selectors.EVENT_READ, _Stream(child, receive))
                    child.open_streams += 1
            yield child
        finally:
            process.kill_group(running)


def _options(events: int) -> list[str]:
    """Options of each child's command line: its steps go to a pipe instead of the terminal."""
    verbose = ["--verbose"] if logging.getLogger().isEnabledFor(logging.DEBUG) else []
    return ["--quiet", "--events", f"/dev/fd/{events}", *verbose]


def _follow(
    streams: selectors.BaseSelector,
    end: Callable[[_Child], None],
    deadline: Deadline | None = None,
) -> None:
    """Hand on what comes from the children until all have ended, or the time is over."""
    while streams.get_map() and not (deadline and deadline.over):
        for key, _ in streams.select(_SECONDS_DEAF):
            stream: _Stream = key.data
            data = os.read(key.fd, 1 << 16)
            if not data:
                streams.unregister(key.fileobj)
                stream.child.open_streams -= 1
            stream.take(data)
            if stream.child.open_streams == 0:
                end(stream.child)
