"""Shows the steps of `harness.log` to a person while they happen; a sink, nothing else.

On a terminal: the steps under way with their elapsed time, and bars where a step reports its
progress. Elsewhere (CI, a pipe): one line for each finished step. Always on standard error, so
that standard output is a command's answer and nothing else.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from harness.log import WAITING, Event, sink

_ENVELOPE = {"time", "event", "step", "seconds", "error", "done", "total"}


class Screen(Console):
    """Rich's console, but that a reader who has gone is an error like any other."""

    def on_broken_pipe(self) -> None:
        """Rich would end the process, as if there were a bug."""
        raise  # noqa: PLE0704 - called from an except block


@contextlib.contextmanager
def shown(console: Console | None = None) -> Iterator[None]:
    """Show all steps of the block on `console` (default: standard error as it is now).

    The default is a duplicate of the file descriptor: pytest, which runs the scenarios, may
    redirect standard error for the length of a test.
    """
    if console:
        with _display(console):
            yield
        return
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # it was closed before we began
        yield
        return
    stream = os.fdopen(descriptor, "w")
    try:
        with _display(Screen(file=stream)):
            yield
    finally:
        with contextlib.suppress(OSError):
            stream.close()


@contextlib.contextmanager
def _display(console: Console) -> Iterator[None]:
    if console.is_terminal:
        with _Live(console) as live, sink(_willing(live.receive)):
            yield
    else:
        with sink(_willing(_Lines(console).receive)):
            yield


def _willing(receive: Callable[[Event], None]) -> Callable[[Event], None]:
    """The same, and nobody's work ends because there is nobody left to see it."""

    def shown(event: Event) -> None:
        with contextlib.suppress(OSError, ValueError):
            receive(event)

    return shown


class _Lines:
    """One line for each step that ended."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def receive(self, event: Event) -> None:
        if event["event"] in ("end", "failed"):
            self._console.print(_line(event), soft_wrap=True)
        elif event["event"] == WAITING:
            self._console.print(_waits(event), soft_wrap=True)


class _Live:
    """Steps under way as a live display below the lines of those that ended."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            _Bar(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: list[tuple[str, str, TaskID]] = []  # (step, label, task), oldest first
        self._lock = threading.Lock()

    def __enter__(self) -> "_Live":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def receive(self, event: Event) -> None:
        with self._lock:
            if event["event"] == "begin":
                task = self._progress.add_task(_label(event), total=None)
                self._tasks.append((event["step"], _label(event), task))
            elif event["event"] == "progress":
                self._advance(event)
            elif event["event"] in ("end", "failed"):
                self._finish(event)
            elif event["event"] == WAITING:
                self._progress.console.print(_waits(event), soft_wrap=True)

    def _advance(self, event: Event) -> None:
        """A progress event may name its step without the step's fields: the newest one is meant."""
        newest_first = list(reversed(self._tasks))
        exact = [task for _, label, task in newest_first if label == _label(event)]
        same_step = [task for step, _, task in newest_first if step == event["step"]]
        for task in (exact or same_step)[:1]:
            self._progress.update(task, completed=event["done"], total=event["total"])

    def _finish(self, event: Event) -> None:
        label = _label(event)
        for entry in [entry for entry in reversed(self._tasks) if entry[1] == label][:1]:
            self._tasks.remove(entry)
            self._progress.remove_task(entry[2])
        self._progress.console.print(_line(event), soft_wrap=True)


class _Bar(BarColumn):
    """A bar, only where the total is known."""

    def render(self, task: Any) -> Any:
        return super().render(task) if task.total else Text("")


def _waits(event: Event) -> Text:
    """`           waiting: gateway-rack-1 is in use by desk/alice, since 22:10`."""
    return Text(f"           {WAITING}: {event['why']}")


def _label(event: Event) -> str:
    """The step's name and fields, in one line: `flash board=gateway-qemu`."""
    fields = [f"{key}={value}" for key, value in event.items() if key not in _ENVELOPE]
    return " ".join([event["step"], *fields])


def _line(event: Event) -> Text:
    """`   1.3 s  flash board=gateway-qemu`, or the same in red with the error's first line."""
    line = Text(f"{event['seconds']:7.1f} s  {_label(event)}")
    if event["event"] == "failed":
        line.append(f": {event['error'].splitlines()[0]}")
        line.stylize("red")
    return line
