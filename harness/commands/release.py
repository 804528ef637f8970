"""Commands of a release's life: built, proven, promoted, and all of it once in the demo."""

import contextlib
import logging
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands.terminal import (
    BoardNames,
    Json,
    Lab,
    Recipe,
    ReleaseFolders,
    Store,
    answer,
    show,
    tell,
)

if TYPE_CHECKING:
    from harness.evidence.store import Stored
    from harness.product.release import Release
    from harness.promotion.candidate import Candidate
    from harness.scenarios.invocation import Selection


class Tier(StrEnum):
    """How many scenarios."""

    CI = "ci"
    ALL = "all"


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
    by: Annotated[
        str, typer.Option("--builder", metavar="NAME", help="Who makes images of it.")
    ] = "debian",
    as_json: Json = False,
) -> None:
    """Build a release from a recipe.

    [dim]harness build images/legacy-gateway --version 1.1.0 -o out/1.1.0[/]
    """
    from harness.builders import builder

    release = builder.named(by).build(
        recipe, version=version, variants=tuple(variant or ()), output=output
    )
    _answer_release(release, as_json)


def _answer_release(release: "Release", as_json: bool) -> None:
    answer(
        as_json,
        f"{release.machine} {release.version}: {release.folder}",
        machine=release.machine,
        version=release.version,
        variants=list(release.variants),
        folder=str(release.folder),
        slot_sha256=release.slot.sha256,
    )


def adopt(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE|DEPLOY_DIR",
            help="Disk image, as it is flashed; or the deploy folder of a Yocto build.",
        ),
    ],
    *,
    artifact: Annotated[
        Path | None,
        typer.Option(
            help="Update artifact of the same build.", show_default="the deploy folder's only one"
        ),
    ] = None,
    product: Annotated[Path, typer.Option(help="product.yaml: how the device is driven.")],
    version: Annotated[
        str,
        typer.Option(
            help="Version, as the device tells it.", show_default="a deploy folder's DISTRO_VERSION"
        ),
    ] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="Release folder.")],
    variant: Annotated[
        list[str] | None,
        typer.Option(help="What is wrong with this version, for tests; may be given again."),
    ] = None,
    image: Annotated[
        str, typer.Option(metavar="NAME", help="Image of a deploy folder that has several.")
    ] = "",
    kas: Annotated[
        str,
        typer.Option(metavar="FILE[:FILE]", help="kas project of the build: its commits are kept."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a release of images that others built.

    [dim]harness adopt disk.img --artifact update.raucb --product product.yaml --version 1.0.0
    -o out/1.0.0[/]

    [dim]harness adopt tmp/deploy/images/rpi4 --product product.yaml -o out/1.1.0[/]
    """
    from harness import files
    from harness.builders.finished import adopt as finished
    from harness.builders.yocto import adopt as yocto
    from harness.clients import selection_format
    from harness.errors import ConfigurationError
    from harness.product import profile

    selection_format.format_of_profile(
        profile.load(product)
    )  # what it is not told is told before the work
    variants = tuple(variant or ())
    if files.is_folder(images):
        wanted = yocto.Wanted(
            product=product, version=version, image=image, artifact=artifact, kas=kas
        )
        release = yocto.adopt(images, wanted, output=output, variants=variants)
    else:
        given = {"--artifact": artifact, "--version": version}
        if missing := [name for name, value in given.items() if not value]:
            raise ConfigurationError(f"{' and '.join(missing)}: needed with a disk image")
        if extra := [name for name, value in {"--image": image, "--kas": kas}.items() if value]:
            raise ConfigurationError(f"{extra[0]}: is for a deploy folder")
        release = finished.adopt(
            images,
            artifact or Path(),
            product=product,
            version=version,
            output=output,
            variants=variants,
        )
    if told := selection_format.found_in_image(release):
        logging.getLogger(__name__).warning("%s", told)
    _answer_release(release, as_json)


def test(
    release: ReleaseFolders,
    *,
    from_release: Annotated[
        list[Path],
        typer.Option(
            "--from",
            metavar="RELEASE",
            help="Release that the boards run before; one for each machine.",
        ),
    ],
    board: BoardNames,
    lab: Lab,
    keyword: Annotated[
        str, typer.Option("-k", metavar="EXPRESSION", help="Only scenarios that match.")
    ] = "",
    fault: Annotated[
        list[str] | None,
        typer.Option(help="An update with this fault, and those given with more --fault."),
    ] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(help="Exactly this scenario; may be given again.")
    ] = None,
    aim: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AIM",
            help="Cut the power there: console:PATTERN/50ms, bytes:50%, time:12.5s; @PHASE behind "
            "it: nothing else counts. May be given again.",
        ),
    ] = None,
    sweep: Annotated[
        str, typer.Option(metavar="FROM..TO/STEP", help="A cut at each: 0s..120s/500ms.")
    ] = "",
    bisect: Annotated[
        bool, typer.Option("--bisect", help="Of the sweep only where the outcome changes.")
    ] = False,
    tier: Annotated[Tier, typer.Option(help="How much: what CI can afford, everything.")] = Tier.CI,
    every: Annotated[bool, typer.Option("--all", help="Everything, as --tier all.")] = False,
    tries: Annotated[
        int,
        typer.Option(
            min=1, max=5, help="How often a scenario is begun that ends in trouble of the lab."
        ),
    ] = 2,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Run the scenarios that lead from one release to another, and keep the evidence.

    Releases of several machines run at the same time, each on the boards of its machine.

    [dim]harness test out/1.1.0 --from out/1.0.0 --board gateway-qemu -k power_cut[/]
    """
    from harness.scenarios import asked
    from harness.scenarios.invocation import Selection

    selection = Selection(
        release=release[0],
        from_release=from_release[0],
        boards=tuple(board),
        lab=lab,
        tier=str(Tier.ALL if every else tier),
        keyword=keyword,
        scenarios=(
            *(scenario or ()),
            *([f"faults[{'+'.join(fault)}]"] if fault else []),
            *asked.cuts(aim or (), sweep, bisect=bisect),
        ),
        tries=tries,
    )
    if len(release) > 1 or len(from_release) > 1:
        _test_matrix(release, from_release, selection, store, as_json=as_json)
    else:
        _test_machine(selection, store, as_json=as_json)


def _test_machine(selection: "Selection", store: Path | None, *, as_json: bool) -> None:
    """One machine: pytest runs in this process."""
    from harness.evidence.store import EvidenceStore
    from harness.evidence.table import verdict_table
    from harness.scenarios import runner

    # pytest tells how the scenarios go; that is no part of an answer in JSON
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        stored = runner.run_scenarios(selection, EvidenceStore(store))
    answer(as_json, verdict_table(stored.evidence), **_told(stored))
    runner.require_passed(stored)


def _test_matrix(
    releases: Sequence[Path],
    from_releases: Sequence[Path],
    common: "Selection",
    store: Path | None,
    *,
    as_json: bool,
) -> None:
    """Several machines, each in a process of its own; what has ended is shown in any case."""
    from harness.evidence.store import EvidenceStore
    from harness.scenarios import matrix

    selections = matrix.by_machine(releases, from_releases, common)
    kept = EvidenceStore(store).folder
    done: list[Stored] = []
    try:
        runs = matrix.run_matrix(selections, kept, tell=tell, on_done=done.append)
    finally:
        if done:
            _show_matrix(done, list(selections), kept, as_json=as_json)
    matrix.require_passed(runs)


def _show_matrix(
    done: Sequence["Stored"], machines: Sequence[str], store: Path, *, as_json: bool
) -> None:
    """The runs that have ended, of all `machines` that were asked for."""
    from harness.evidence.report import write_matrix
    from harness.evidence.table import verdict_table

    runs = sorted(done, key=lambda stored: machines.index(stored.evidence.subject.machine))
    told = [{"machine": run.evidence.subject.machine, **_told(run)} for run in runs]
    answer(
        as_json,
        verdict_table(*(run.evidence for run in runs)),
        runs=told,
        passed=len(runs) == len(machines) and all(run["passed"] for run in told),
        report=str(write_matrix(runs, store)),
    )


def _told(stored: "Stored") -> dict[str, Any]:
    """A run in JSON."""
    evidence = stored.evidence
    return {
        "folder": str(stored.folder),
        "evidence": stored.digest,
        "verdicts": {record.scenario: record.verdict for record in evidence.records},
        "passed": evidence.passed,
    }


def promote(
    release: ReleaseFolders,
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
    """Promote releases to a ring, if their evidence satisfies the policy of the repository.

    Several machines go in together, in one commit.

    [dim]harness promote out/1.1.0 --ring canary --repo git@example.com:releases.git[/]
    """
    from harness.evidence.store import EvidenceStore
    from harness.promotion.promote import promote as promote_releases

    promotion = promote_releases(
        *release, ring=ring, repo=repo, store=EvidenceStore(store), allow_older=allow_older
    )
    answer(
        as_json,
        str(promotion),
        ring=promotion.ring,
        commit=promotion.commit,  # null: the ring held exactly these releases before
        machines=[_promoted(candidate) for candidate in promotion.candidates],
    )
    if promotion.refusal:
        raise promotion.refusal


def _promoted(candidate: "Candidate") -> dict[str, Any]:
    """What became of one release, in JSON."""
    decision = candidate.decision
    return {
        "machine": candidate.subject.machine,
        "version": candidate.subject.version,
        "previous": candidate.previous,
        "promoted": candidate.let_in,
        "already": candidate.already,
        "refused": decision.lines() if decision and candidate.refusal else [],
        "evidence": [stored.digest for stored in decision.evidence] if decision else [],
    }


def demo(
    *,
    lab: Lab,
    machine: Annotated[str, typer.Option(hidden=True)] = "",
    store: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Do the main job once on each machine: build, update, cut the power, gate, promote.

    [dim]harness demo[/]
    """
    from harness import demo as main_job
    from harness import paths
    from harness.boards import lab_file
    from harness.evidence.attachments import REPORT_FILE
    from harness.evidence.store import EvidenceStore
    from harness.evidence.table import verdict_table

    lab_file.load(lab)  # before anything is built
    if machine and machine not in main_job.GENERATIONS:
        raise typer.BadParameter(f"{machine!r} has no part in the demo", param_hint="--machine")
    if machine:  # one machine's part, in a process of its own
        with contextlib.redirect_stdout(sys.stderr):
            runs = main_job.one_machine(machine, lab, EvidenceStore(store))
        answer(True, "", runs=[str(run.folder) for run in runs])
        return
    done = main_job.demo(
        lab,
        paths.cache() / "demo",
        show=lambda runs: show(verdict_table(*(run.evidence for run in runs))),
        tell=tell,
    )
    show(f"promoted: {done.promotion}")
    show(f"refused:  {done.refusal}")
    show(f"rings:    {done.repository}")
    for stored in (*done.good, done.broken):
        show(f"report:   {stored.folder / REPORT_FILE}")
