"""Commands of a release's life: built, proven, promoted, and all of it once in the demo."""

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.terminal import (
    BoardNames,
    Json,
    Lab,
    Recipe,
    ReleaseFolder,
    Store,
    answer,
    show,
)


def build(
    recipe: Recipe,
    *,
    version: Annotated[str, typer.Option(help="Version of the release, for example 1.1.0.")],
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Variant of the recipe (a bad version for tests); may be given again."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Release folder.  [dim]default: in the cache[/]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build a release from a recipe.

    [dim]harness build images/legacy-gateway --version 1.1.0 -o out/1.1.0[/]
    """
    from harness.images.build import build as build_release

    release = build_release(recipe, version=version, variants=tuple(variant or ()), output=output)
    answer(
        as_json,
        f"{release.machine} {release.version}: {release.folder}",
        machine=release.machine,
        version=release.version,
        variants=list(release.variants),
        folder=str(release.folder),
        slot_sha256=release.slot.sha256,
    )


def test(
    release: ReleaseFolder,
    *,
    from_release: Annotated[
        Path, typer.Option("--from", metavar="RELEASE", help="Release that the boards run before.")
    ],
    board: BoardNames,
    lab: Lab = None,
    keyword: Annotated[
        str | None,
        typer.Option("-k", metavar="EXPRESSION", help="Only scenarios that match, as in pytest."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every scenario, not a selection.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Run the scenarios that lead from one release to another, and keep the evidence.

    [dim]harness test out/1.1.0 --from out/1.0.0 --board gateway-qemu -k power_cut[/]
    """
    from harness import runner

    raise typer.Exit(
        runner.run_scenarios(
            release, from_release, boards=board, lab=lab, keyword=keyword, every=every,
            store=store, as_json=as_json,
        )
    )  # fmt: skip


def report(
    evidence: Annotated[
        Path | None, typer.Argument(help="Folder of one run.  [dim]default: the newest[/]")
    ] = None,
    *,
    store: Store = None,
) -> None:
    """Write the report of a run of scenarios as a page for people, and say where it is.

    [dim]harness report[/]
    """
    from harness.evidence.report import write_report

    show(str(write_report(evidence, store=store)))


def promote(
    release: ReleaseFolder,
    *,
    ring: Annotated[str, typer.Option(help="lab, canary or fleet.")],
    repo: Annotated[
        str, typer.Option(metavar="PATH_OR_URL", help="Release repository (any Git remote).")
    ],
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Promote a release to a ring, if its evidence satisfies the policy of the repository.

    [dim]harness promote out/1.1.0 --ring canary --repo git@example.com:releases.git[/]
    """
    from harness.promotion.promote import promote as promote_release

    promotion = promote_release(release, ring=ring, repo=repo, store=store)
    answer(as_json, str(promotion), promotion=promotion)


def demo(*, as_json: Json = False) -> None:
    """Do the main job once: build, update, cut the power, drop the network, gate, promote.

    [dim]harness demo[/]
    """
    from harness.demo import demo as run_demo

    raise typer.Exit(run_demo(as_json=as_json))
