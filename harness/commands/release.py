"""Commands of a release's life: built, proven, promoted, and all of it once in the demo."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.terminal import (
    DEFAULT_LAB,
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
        typer.Option("--output", "-o", help="Release folder.", show_default="in the cache"),
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
    lab: Lab = DEFAULT_LAB,
    keyword: Annotated[
        str, typer.Option("-k", metavar="EXPRESSION", help="Only scenarios that match.")
    ] = "",
    scenario: Annotated[
        list[str] | None, typer.Option(help="Exactly this scenario; may be given again.")
    ] = None,
    tier: Annotated[
        str, typer.Option(metavar="demo|ci|all", help="How much: a selection, more, everything.")
    ] = "ci",
    every: Annotated[bool, typer.Option("--all", help="Everything, as --tier all.")] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Run the scenarios that lead from one release to another, and keep the evidence.

    [dim]harness test out/1.1.0 --from out/1.0.0 --board gateway-qemu -k power_cut[/]
    """
    from harness import runner
    from harness.evidence.store import EvidenceStore
    from harness.evidence.table import verdict_table

    selection = runner.Selection(
        release=release,
        from_release=from_release,
        boards=tuple(board),
        lab=lab,
        tier="all" if every else tier,
        keyword=keyword,
        scenarios=tuple(scenario or ()),
    )
    # pytest tells how the scenarios go; that is no part of an answer in JSON
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        stored = runner.run_scenarios(selection, EvidenceStore(store))
    evidence = stored.evidence
    answer(
        as_json,
        verdict_table(evidence),
        folder=str(stored.folder),
        evidence=stored.digest,
        verdicts={record.scenario: record.verdict for record in evidence.records},
        passed=all(record.passed for record in evidence.records),
    )
    runner.require_passed(stored)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run in the store.")],
    *,
    as_json: Json = False,
) -> None:
    """Check a run's evidence, show its verdicts, and write its report (HTML) anew.

    [dim]harness report ~/.local/share/harness/evidence/legacy-gateway/1.1.0/RUN[/]
    """
    from harness.errors import ConfigurationError
    from harness.evidence import signing, store
    from harness.evidence.report import write_report
    from harness.evidence.table import verdict_table

    if not (run / store.ENVELOPE_FILE).is_file():
        raise ConfigurationError(
            f"{run} holds no finished run", hint="`harness test` says where the evidence is"
        )
    stored = store.load(run, [signing.load_signer().public_key])
    page = write_report(stored.evidence, stored.folder)
    answer(as_json, verdict_table(stored.evidence), evidence=stored.digest, report=str(page))


def promote(
    release: ReleaseFolder,
    *,
    ring: Annotated[str, typer.Option(help="lab, canary or fleet.")],
    repo: Annotated[
        str, typer.Option(metavar="PATH_OR_URL", help="Release repository (any Git remote).")
    ],
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Take the ring back to an older version.")
    ] = False,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Promote a release to a ring, if its evidence satisfies the policy of the repository.

    [dim]harness promote out/1.1.0 --ring canary --repo git@example.com:releases.git[/]
    """
    from harness.evidence.store import EvidenceStore
    from harness.promotion.promote import promote as promote_release

    promotion = promote_release(
        release, ring=ring, repo=repo, store=EvidenceStore(store), allow_older=allow_older
    )
    decision = promotion.decision
    answer(
        as_json,
        str(promotion),
        ring=promotion.ring,
        machine=promotion.subject.machine,
        version=promotion.subject.version,
        previous=promotion.previous,
        commit=promotion.commit,  # null: the ring held exactly this release before
        evidence=[stored.digest for stored in decision.evidence] if decision else [],
    )


def demo(*, lab: Lab = DEFAULT_LAB) -> None:
    """Do the main job once: build, update, cut the power, drop the network, gate, promote.

    [dim]harness demo[/]
    """
    from harness import demo as main_job
    from harness import paths
    from harness.evidence.report import REPORT_FILE
    from harness.evidence.table import verdict_table

    done = main_job.demo(lab, paths.cache() / "demo", lambda run: show(verdict_table(run.evidence)))
    show(f"promoted: {done.promotion}")
    show(f"refused:  {done.refusal}")
    show(f"rings:    {done.repository}")
    for stored in (done.good, done.broken):
        show(f"report:   {stored.folder / REPORT_FILE}")
