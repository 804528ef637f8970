"""Commands that begin: what this machine needs, and a product folder."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness import files
from harness.commands.terminal import Json, answer


class Machine(StrEnum):
    """A machine whose recipe a product can begin with."""

    LEGACY_GATEWAY = "legacy-gateway"
    RPI4 = "rpi4"


def setup(
    *,
    install: Annotated[
        bool, typer.Option("--install", help="Install what is missing (asks sudo for apt).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Name the packages that this machine lacks, and install them on request.

    [dim]harness setup --install[/]
    """
    from harness import prerequisites

    lacks = prerequisites.missing()
    if install:
        prerequisites.install(lacks)
        lacks = prerequisites.missing()
    if not (lacks.debian or lacks.python):
        answer(as_json, "nothing is missing", debian=[], python=[])
        return
    if as_json:
        answer(True, "", debian=list(lacks.debian), python=list(lacks.python))
    lacks.require_nothing()


def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The new product folder.")],
    *,
    machine: Annotated[
        Machine, typer.Option(help="The machine that it begins with.")
    ] = Machine.LEGACY_GATEWAY,
    as_json: Json = False,
) -> None:
    """Begin a product folder: a recipe, a lab, a scenario, CI files and a release policy.

    [dim]harness init my-product[/]
    """
    from harness.starter import begin

    start = begin.STARTS[str(machine)]
    begin.begin(folder, start)
    shown = files.shown(folder)
    answer(
        as_json,
        f"{shown}: commit it, then see {shown}/README.md\n"
        f"  cd {shlex.quote(shown)} && git add . && git commit --message begin\n"
        f"  harness build {start.recipe} --version 1.0.0 -o out/1.0.0",
        folder=str(folder.resolve()),
        recipe=start.recipe,
        board=start.board,
    )
