"""Commands for public designs: which there are, what was found of them, and finding it."""

from pathlib import Path
from typing import Annotated

import typer

from harness import progress
from harness.commands.terminal import Json, answer, tell

app = typer.Typer(name="designs", invoke_without_command=True, rich_markup_mode="rich")

Folder = Annotated[
    Path | None,
    typer.Option("--designs", help="Their folder.", show_default="images/designs"),
]


@app.callback()
def designs(context: typer.Context, *, folder: Folder = None, as_json: Json = False) -> None:
    """Public A/B designs: what each is, when it was last run, what was found.

    [dim]harness designs[/]
    """
    if context.invoked_subcommand:
        return
    from harness import schema
    from harness.designs import design, results, table

    known = design.known(folder)
    told = {name: schema.to_data(results.load(each.folder)) for name, each in known.items()}
    answer(as_json, table.shown(known), designs=told)


@app.command()
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the design.")],
    *,
    variant: Annotated[str, typer.Option(help="Only this variant; none: all of them.")] = "",
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Of its scenarios only this one, and no cut points; repeatable."),
    ] = None,
    budget: Annotated[
        str, typer.Option(metavar="30m", help="Begin nothing after this time: 90s, 30m, 2h.")
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Those that have a verdict, too, the oldest first.")
    ] = False,
    explore: Annotated[bool, typer.Option(help="Its cut points, too, after the scenarios.")] = True,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Build a design, run its scenarios, explore its cut points, store what was found.

    Goes on where it was ended. A finding is no error: it is what this is for. A scenario that ends
    otherwise than it did before is one.

    [dim]harness designs run sysupdate-sdboot --variant plain --budget 30m[/]
    """
    from harness import schema
    from harness.commands.crash import seconds_of
    from harness.designs import design, results, table
    from harness.designs.run import DesignRun

    context.with_resource(progress.shown())
    found = design.named(name, folder)
    before = results.load(found.folder).variants
    only, limit = tuple(scenario or ()), seconds_of(budget) if budget else 0.0
    told = {
        each: DesignRun(
            design=found,
            variant=each,
            budget=limit,
            tell=tell,
            only=only,
            again=again,
            explore=explore and not only,
        ).run()
        for each in ([variant] if variant else found.variants)
    }
    data = {each: schema.to_data(result) for each, result in told.items()}
    answer(as_json, table.shown({name: found}), design=name, variants=data)
    for each, result in told.items():
        results.compared(before.get(each), result)


@app.command()
def table(
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the page here.")
    ] = None,
    folder: Folder = None,
) -> None:
    """The page about all designs, made of their stored results.

    [dim]harness designs table -o docs/designs/README.md[/]
    """
    from harness import files
    from harness.designs import design
    from harness.designs import table as tables

    page = tables.page(design.known(folder))
    if output:
        files.write_whole(output, page.encode())
    else:
        typer.echo(page, nl=False)
