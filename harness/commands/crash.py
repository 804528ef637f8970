"""Commands for every power-cut point of one update: recorded, explored, reported, replayed."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import progress
from harness.commands.terminal import Json, Lab, ReleaseFolder, answer, show

if TYPE_CHECKING:
    from harness.crash.exploration.prove import Proof
    from harness.crash.recording.recording import Recording
    from harness.crash.results.results import Results
    from harness.crash.states.cut import CrashState

app = typer.Typer(
    name="crash",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_UNITS = {"s": 1, "m": 60, "h": 3600}

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the recording.")]
At = Annotated[
    int | None,
    typer.Option(metavar="N", help="Cut the power when N records of the log had been issued."),
]
LossText = Annotated[
    str,
    typer.Option(
        "--loss",
        metavar="none|all|only:P|without:P|torn:P:S|...",
        help="What is left of the unflushed writes; P is a write's log position (docs/medium.md).",
    ),
]
StateText = Annotated[
    str, typer.Option("--state", help="The state as reports name it, in place of --at and --loss.")
]


@app.callback()
def crash(context: typer.Context) -> None:
    """Prove what becomes of a device at every power-cut point of an update."""
    if context.invoked_subcommand != "replay":
        _show_steps(context)


@app.command()
def record(
    release: ReleaseFolder,
    *,
    from_release: Annotated[
        Path, typer.Option("--from", metavar="RELEASE", help="Release that the board runs before.")
    ],
    board: Annotated[str, typer.Option("--board", "-b", help="Place of the board in the lab.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the recording.")],
    bad: Annotated[
        Path | None,
        typer.Option(
            metavar="RELEASE",
            help="Version that fails its health check, to be rolled back; without it the new one "
            "is installed again and has no network.",
        ),
    ] = None,
    newer: Annotated[
        Path | None,
        typer.Option(
            metavar="RELEASE",
            help="Version newer than both, to be installed after each cut: of a product that "
            "refuses older ones, and whose images others built.",
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Record the device of this recording again, so that its proofs can carry over.",
        ),
    ] = None,
    lab: Lab,
    as_json: Json = False,
) -> None:
    """Record one real update and one rollback: every write of the board, with its phases.

    [dim]harness crash record out/1.1.0 --from out/1.0.0 --board gateway-qemu -o run[/]
    """
    from harness.crash.record import record as record_update

    found = record_update(
        release,
        from_release,
        board=board,
        lab=lab,
        output=output,
        bad=bad,
        newer=newer,
        like=like,
    )
    lines = [f"{phase.name:<14} {phase.start:>7} - {phase.end - 1}" for phase in found.phases]
    for outcome in found.outcomes:
        broken = ", ".join(each.name for each in outcome.broken)
        lines.append(f"{outcome.name}: {outcome.verdict}" + (f", broken: {broken}" * bool(broken)))
    lines.append(f"{found.folder}: records {found.start} to {found.end}")
    answer(as_json, "\n".join(lines), folder=str(found.folder), **found.to_json())


@app.command()
def phases(
    run: Run,
    *,
    jitter: Annotated[
        int, typer.Option(min=0, metavar="MS", help="Of a relay: how much its cuts differ.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """Show how long each phase of the update was, and how many real cuts it takes to meet it.

    [dim]harness crash phases run --jitter 50[/]
    """
    from rich.table import Table

    from harness.crash.recording.recording import Recording
    from harness.crash.results.lengths import phase_lengths

    found = phase_lengths(Recording.load(run))
    table = Table("phase", "seconds", "random cuts", f"aimed, {jitter} ms", box=None)
    rows = [(each, each.random, each.aimed(jitter / 1000)) for each in found]
    for each, random, aimed in rows:
        table.add_row(each.name, f"{each.seconds:.3f}", f"{random or '-'}", f"{aimed or '-'}")
    told = [
        {"phase": each.name, "seconds": each.seconds, "random": random, "aimed": aimed}
        for each, random, aimed in rows
    ]
    answer(as_json, table, phases=told)


@app.command()
def explore(
    run: Run,
    *,
    budget: Annotated[
        str, typer.Option(metavar="30m", help="Begin no boot after this time: 90s, 30m, 2h.")
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, help="Boards at a time, on this host.")] = 2,
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers boot the states.")
    ] = "",
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of the drawn mixtures, and of the sample that is booted to check."
        ),
    ] = None,
    card_cache: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Read a card's recording as if it could lose its last N writes.",
        ),
    ] = 0,
    nested: Annotated[bool, typer.Option(help="Cut the boots that follow a cut, as well.")] = True,
    first: Annotated[
        list[str] | None,
        typer.Option(metavar="PHASE", help="Decide cut points of this phase first; repeatable."),
    ] = None,
    proofs_of: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="Use the proofs of this explored recording where they hold; repeatable.",
        ),
    ] = None,
    until_bad: Annotated[
        bool, typer.Option("--until-bad", help="Begin no boot after the first bad verdict.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Boot crash states until every cut point has a verdict; goes on where it was interrupted.

    [dim]harness crash explore run --budget 30m --jobs 2[/]
    """
    from harness.crash.exploration.explore import Plan
    from harness.crash.exploration.explore import explore as explore_states
    from harness.crash.results import report as reports

    plan = Plan(
        budget=seconds_of(budget),
        jobs=jobs,
        scheduler=scheduler,
        seed=seed,
        card_cache=card_cache,
        nested=nested,
        first=tuple(first or ()),
        proofs_of=tuple(proofs_of or ()),
        until_bad="" if until_bad else None,
    )
    found = explore_states(run, plan)
    _tell_results(found, reports.write(run), as_json=as_json)


@app.command()
def report(
    run: Run,
    *,
    store: Annotated[
        Path | None,
        typer.Option(help="Also sign what was found, good or bad, into this evidence store."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the report of an exploration (HTML) anew, and show its verdicts.

    [dim]harness crash report run --store ~/.local/share/harness/evidence[/]
    """
    from harness.crash.results import report as reports
    from harness.crash.results import results
    from harness.evidence import crash, signing
    from harness.evidence.store import EvidenceStore

    evidence: dict[str, str] = {}
    if store:
        stored = crash.keep(run, EvidenceStore(store), signing.load_signer())
        evidence["evidence"] = str(stored.folder)
        typer.echo(f"evidence: {stored.folder}", err=True)
    _tell_results(results.load(run), reports.write(run), as_json=as_json, **evidence)


@app.command()
def replay(
    context: typer.Context,
    run: Run,
    *,
    at: At = None,
    loss: LossText = "none",
    state: StateText = "",
    board: Annotated[
        str, typer.Option("--board", "-b", help="Instead of the board that was recorded.")
    ] = "",
    lab: Annotated[
        Path | None, typer.Option(help="Instead of the lab file of the recording.")
    ] = None,
    console: Annotated[
        bool | None,
        typer.Option(
            help="Sit at the serial console; otherwise wait for the verdict.",
            show_default="where there is a terminal",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Boot one crash state, console attached: Ctrl-] leaves, and switches the board off.

    With --no-console, and where there is no terminal, it is judged like in an exploration; exit
    code 4 when it fails.

    [dim]harness crash replay run --at 1234 --loss torn:1230:3[/]
    """
    from harness.boards import bench
    from harness.crash.inspect import replay as replays

    recording, found = _recorded_state(run, at, loss, state)
    if console and not bench.has_terminal():
        raise typer.BadParameter("there is no terminal to sit at", param_hint="--console")
    if bench.has_terminal() if console is None else console:
        replays.sit_at(recording, found, board=board, lab=lab)
        return
    _show_steps(context)
    proof = replays.judge(recording, found, board=board, lab=lab)
    _tell_proof(recording, proof, as_json=as_json)


@app.command()
def fsck(
    run: Run,
    *,
    at: At = None,
    loss: LossText = "none",
    state: StateText = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="New folder for the files of the data partition."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look into one crash state without a boot: boot selection, slots, file system and its files.

    [dim]harness crash fsck run --at 1234[/]
    """
    from harness.crash.inspect.fsck import inspect
    from harness.crash.inspect.replay import state_file

    recording, cut = _recorded_state(run, at, loss, state)
    with state_file(recording, cut) as (path, _):
        found = inspect(recording, path, output=output)
    lines = [f"{cut} (phase: {recording.phase(cut.first.at) or 'end'})"]
    answer(as_json, "\n".join([*lines, *found.lines()]), state=str(cut), **found.to_json())


def _recorded_state(
    run: Path, at: int | None, loss: str, state: str
) -> tuple["Recording", "CrashState"]:
    """The recording, and one of its states."""
    from harness.crash.recording.recording import Recording
    from harness.crash.states.cut import parse

    if (at is None) == (not state):
        raise typer.BadParameter("give either --at (with --loss) or --state")
    return Recording.load(run), parse(state or f"{at}/{loss}")


def _tell_proof(recording: "Recording", proof: "Proof", *, as_json: bool) -> None:
    """The verdict of one boot; DeviceError when it is a failure."""
    from harness.crash.exploration.ends import verdict_of
    from harness.errors import DeviceError

    verdict, why = verdict_of(recording, proof.state.first.at, proof)
    told = f"{proof.state}: {verdict} after {proof.boots} boots, {proof.seconds:g} s"
    answer(
        as_json,
        "\n".join([told, *why, f"console logs: {proof.folder}"]),
        state=str(proof.state),
        verdict=verdict,
        final=proof.final,
        boots=proof.boots,
        seconds=proof.seconds,
        why=why,
        folder=str(proof.folder),
    )
    if verdict.failed:
        raise DeviceError(f"{proof.state} ends {verdict}", details="\n".join(why))


def _show_steps(context: typer.Context) -> None:
    """Show progress, as the command line does for all commands that leave the terminal to it."""
    if not context.find_root().params["quiet"]:
        context.find_root().with_resource(progress.shown())


def _tell_results(results: "Results", page: Path, *, as_json: bool, **more: str) -> None:
    """The verdicts of an exploration; DeviceError when there is a failure among them."""
    from harness.crash.results import report as reports
    from harness.errors import DeviceError

    answer(
        as_json,
        reports.summary(results),
        verdicts=results.verdicts,
        counts=asdict(results.counts),
        problems=results.problems,
        good=results.good,
        report=str(page),
        **more,
    )
    if not as_json:
        show(f"report: {page}")
    if results.bad or any(results.count(each) for each in results.verdicts if each.failed):
        raise DeviceError(reports.headline(results), hint=f"see {page}")


def seconds_of(text: str) -> float:
    """90s, 30m, 2h; no limit when empty."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if text and not found:
        raise typer.BadParameter(f"{text!r} is no time: 90s, 30m, 2h", param_hint="--budget")
    return float(found[1]) * _UNITS[found[2]] if found else float("inf")
