"""Commands that look at evidence."""

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.terminal import Json, Store, answer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run in the store.")],
    *,
    as_json: Json = False,
) -> None:
    """Check a run's evidence, show its verdicts, and write its report (HTML) anew.

    [dim]harness report ~/.local/share/harness/evidence/legacy-gateway/1.1.0/RUN[/]
    """
    from harness import files
    from harness.errors import ConfigurationError
    from harness.evidence import signing, store
    from harness.evidence.attachments import ENVELOPE_FILE
    from harness.evidence.report import write_report
    from harness.evidence.table import verdict_table

    if not files.is_file(run / ENVELOPE_FILE):
        raise ConfigurationError(
            f"{files.shown(run)} holds no finished run",
            hint="`harness test` says where the evidence is",
        )
    stored = store.load(run, [signing.load_signer().public_key])
    page = write_report(stored.evidence, stored.folder)
    answer(as_json, verdict_table(stored.evidence), evidence=stored.digest, report=str(page))
    stored.evidence.require_records(run)


def compare(
    release: Annotated[Path, typer.Argument(metavar="RELEASE", help="Folder of a release.")],
    *,
    store: Store = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it here, in Markdown.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a release's scenarios came to on QEMU boards beside what they came to on a bench.

    Ends with exit code 3 where they differ, where the bench has no verdict of what it tried, and
    where nothing is equal: one of the two does not show what happens.

    [dim]harness compare build/all/rpi4-1.1.0 --store build/all/evidence[/]
    """
    from harness import files
    from harness.errors import LabError
    from harness.evidence import comparison, signing
    from harness.evidence.store import EvidenceStore
    from harness.evidence.subject import read_subject

    subject = read_subject(release)
    found = EvidenceStore(store).find(subject, [signing.load_signer().public_key])
    compared = comparison.compare([each.evidence for each in found.evidence])
    if output:
        files.write_whole(output, comparison.page(subject, compared).encode())
    problems = comparison.problems(compared)
    told: dict[str, dict[str, str]] = {}
    for each in compared:
        told.setdefault(str(each.kind), {})[each.scenario] = each.told
    answer(
        as_json,
        comparison.comparison_table(compared),
        compared=told,
        problems=problems,
    )
    if problems:
        raise LabError(
            f"{subject.machine} {subject.version}: a bench does not show what QEMU boards do: "
            f"{problems[0]}" + (f" (and {len(problems) - 1} more)" if problems[1:] else ""),
            details="\n".join(problems),
            hint="their runs have the console logs of both: one of them shows what went wrong",
        )
