"""What the commands share: their common options, and how they answer on standard output."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from harness import files, project
from harness.errors import HarnessError
from harness.plain import plain
from harness.progress import Screen

_LOG_COLUMNS = 160  # in a CI's log: room for two machines and whole scenario ids

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="Folder of the recipe.")]
ReleaseFolder = Annotated[Path, typer.Argument(metavar="RELEASE", help="Folder of the release.")]
ReleaseFolders = Annotated[
    list[Path],
    typer.Argument(metavar="RELEASE...", help="Folder of the release; one for each machine."),
]
BoardName = Annotated[str, typer.Argument(metavar="BOARD", help="Place of the board in the lab.")]
BoardNames = Annotated[
    list[str], typer.Option("--board", "-b", help="Place of the board; may be given again.")
]
Lab = Annotated[
    Path,
    typer.Option(
        help="labgrid environment file.",
        default_factory=project.default_lab,
        show_default="`lab` of harness.toml",
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(help="Evidence store.", show_default="$HARNESS_HOME/evidence"),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON on standard output.")]


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """A block that answers on standard output: a reader that has gone, or a full disk behind it,
    is told like any other file."""
    try:
        yield
    finally:
        if sys.stdout is not None:
            with _told():
                sys.stdout.flush()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        with files.told("standard output", hint="only the answer is lost: look at what was done"):
            yield
    except HarnessError:  # what is left in the buffer cannot be written either, at the end
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def answer(as_json: bool, text: Any, **fields: Any) -> None:
    """A command's answer: `text` (anything Rich prints) for a person, `fields` for a script."""
    if as_json:  # the JSON escapes what steers a terminal
        with _told():
            typer.echo(json.dumps(fields, indent=2, default=str))
    else:
        show(text)


def show(text: Any) -> None:
    """Print a command's answer for a person; whoever wrote the texts in it, they are plain."""
    console = Screen(highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _LOG_COLUMNS
    with _told():
        console.print(_Plain(text), soft_wrap=True)


class _Plain:
    """Anything Rich prints, with its texts made plain where they have become such."""

    def __init__(self, shown: RenderableType) -> None:
        self._shown = shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for part in console.render(self._shown, options):
            yield part if part.control else Segment(plain(part.text), part.style)


def tell(name: str, line: str) -> None:
    """Show a line that the process `name`, one of several, has printed; on standard error."""
    with contextlib.suppress(OSError):  # nobody left to see it
        typer.echo(plain(f"{name} | {line}"), file=sys.stderr)
