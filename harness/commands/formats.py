"""The command that tells an editor what can stand in a file."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from harness.commands.terminal import answer


class Format(StrEnum):
    """A kind of file."""

    RECIPE = "recipe"
    PRODUCT = "product"
    RELEASE = "release"
    LAB = "lab"
    POLICY = "policy"
    PROJECT = "harness.toml"


def schema(
    of: Annotated[Format, typer.Argument(metavar="FORMAT", help=", ".join(Format))],
    *,
    by: Annotated[
        str, typer.Option("--builder", metavar="NAME", help="Whose recipe it is.")
    ] = "debian",
) -> None:
    """Write the JSON Schema of a kind of file, by which an editor checks one while it is written.

    [dim]harness schema recipe > recipe.schema.json[/]
    """
    from harness import schema as reader

    answer(True, "", **reader.for_editors(_kind(of, by), title=of))


def _kind(of: Format, builder_name: str) -> type:
    """What a file of that format is read as."""
    from harness import project
    from harness.boards import lab_file
    from harness.builders import builder
    from harness.product import profile, release
    from harness.promotion import policy

    kinds: dict[Format, Callable[[], type]] = {
        Format.RECIPE: lambda: builder.named(builder_name).RECIPE,
        Format.PRODUCT: lambda: profile.Profile,
        Format.RELEASE: lambda: release.ReleaseFile,
        Format.LAB: lambda: lab_file.LabFile,
        Format.POLICY: lambda: policy.PolicyFile,
        Format.PROJECT: lambda: project.ProjectFile,
    }
    return kinds[of]()
