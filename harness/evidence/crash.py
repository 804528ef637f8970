"""The exploration of all power cuts as evidence: one record, `crash`, in a signed run of its own.

It is a record like a scenario's, so that everything holds for it that holds for those: the
signature, the report, and that the gate never forgives a failure. What is worked out here is only
what the numbers of results.json come to:

- a cut point, a second cut or a sample that ended bricked or inconsistent: that verdict, a failure;
- else, anything that is not proven (undecided cut points, a sample that disagrees, numbers that do
  not add up): no verdict, which a later and complete exploration may replace;
- else the worst of what was seen; the numbers are in the record's parameters.
"""

import gzip
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness import files, project
from harness.crash.exploration.recount import recount
from harness.crash.recording.recording import Recording
from harness.crash.recording.schema import file_bytes
from harness.crash.results import report, results
from harness.crash.results.results import Results
from harness.crash.results.strip import report_command
from harness.errors import ConfigurationError
from harness.evidence.explored import CACHED, SCENARIO
from harness.evidence.record import Fault, Record
from harness.evidence.report import write_report
from harness.evidence.store import EvidenceStore, Stored
from harness.evidence.subject import Subject, read_subject
from harness.evidence.tools import tool_versions, tools_at_end
from harness.judge.inspection import Inspection
from harness.judge.verdict import Invariant, Verdict
from harness.product import parts
from harness.product.release import Release

REPORT_FILE = "crash.html"
RESULTS_FILE = "results.json.gz"
_GOOD = (Verdict.OLD, Verdict.NEW, Verdict.RECOVERED)


def keep(folder: Path, store: EvidenceStore, signer: CryptoSigner) -> Stored:
    """Sign what the exploration of the recording in `folder` found, good or bad, into the store.

    Raises ConfigurationError when recording, proofs and results do not belong together, or when a
    file of a release is not what it was when that was recorded.
    """
    recording, found = Recording.load(folder), results.load(folder)
    recount(recording, found)
    content = file_bytes(folder / results.FILE, hint="explore the recording again")
    if sha256(content).hexdigest() != found.sha256:
        raise ConfigurationError(
            f"{files.shown(folder / results.FILE)}: was written while it was looked at",
            hint="wait until the exploration has ended",
        )
    subject, before = (_subject(each) for each in (recording.new, recording.old))
    run = store.begin(
        subject,
        from_release=before,
        board=recording.board,
        lab=project.told(recording.lab),
        tools=tool_versions(recording.lab),
        accelerators={recording.board: recording.accelerator},
        parts=parts.of(recording.new, recording.old),
    )
    left = Inspection.not_looked_at(recording.old)
    run.add(replace(record_of(found, folder, _oldest_boot(found)), not_checked=left))
    files.write_whole(run.folder / REPORT_FILE, report.page(found, folder).encode())
    files.write_whole(run.folder / RESULTS_FILE, gzip.compress(content, mtime=0))
    stored = run.finish(signer, tools=tools_at_end(run.header.tools, recording.lab))
    write_report(stored.evidence, stored.folder)
    return stored


def _oldest_boot(found: Results) -> datetime:
    """When the first of the boots ended, in UTC, those of other recordings among them: evidence is
    as old as the oldest thing that it rests on. Where nobody knows: too old to count."""
    return datetime.fromtimestamp(min((each.ended for each in found.proofs), default=0.0), UTC)


def _subject(recorded: Release) -> Subject:
    """The release, with all of its files as recorded and the artifact that installs its slot."""
    subject = read_subject(recorded.folder)
    if subject != Subject.of(recorded):
        raise ConfigurationError(f"{recorded.folder}: is not the release that was recorded")
    return subject


def record_of(found: Results, folder: Path, ended: datetime) -> Record:
    """The record; `folder` is where the exploration can be reported again, `ended` in UTC."""
    verdict, why = _verdict(found), report.headline(found)
    failed = verdict is not None and verdict.failed
    return Record(
        scenario=CACHED if "~" in found.recording.model else SCENARIO,
        board=found.recording.board,
        machine=found.recording.machine,
        expected=_GOOD,
        verdict=verdict,
        boots=sum(proof.boots for proof in found.boots),
        invariants=(
            Invariant(
                name="no cut point ends badly", holds=not failed, detail=why if failed else ""
            ),
        ),
        timeline=(),
        started=ended - timedelta(seconds=float(found.timing.get("seconds", 0))),
        finished=ended,
        replay=report_command(folder),
        fault=Fault(printed="power-cut:explored", seed=found.seed, parameters=_numbers(found)),
        error="" if verdict else f"not proven: {'; '.join(found.problems)}",
    )


def _verdict(found: Results) -> Verdict | None:
    """What all the numbers come to; None where they prove nothing."""
    seen = {verdict for verdict in Verdict if found.count(verdict)}
    seen |= {bad.verdict for bad in found.bad}
    # A sample that agrees with nobody counts all the same when it ended badly.
    seen |= {v for v in Verdict for d in found.disagreements if v.failed and v in d.got.split()}
    if failing := [verdict for verdict in Verdict if verdict.failed and verdict in seen]:
        return failing[0]
    if found.problems:
        return None
    return next(verdict for verdict in reversed(_GOOD) if verdict in seen)


def _numbers(found: Results) -> dict[str, Any]:
    counts = found.counts
    return {
        "model": found.recording.model,
        "positions": len(found.points),
        "cut_points": counts.cut_points,
        "losses": {str(family): count for family, count in counts.losses.items()},
        "enumerated": counts.enumerated,
        "drawn": counts.drawn,
        "distinct": counts.distinct,
        "booted": counts.booted,
        "decided": dict(counts.decided),
        "carried_from": sorted({each.carried for each in found.proofs if each.carried}),
        "undecided": counts.undecided,
        "sampled": counts.sampled,
        "disagreements": counts.disagreements,
        "audited": found.audit.kinds if found.audit else 0,
        "told_apart": len(found.audit.odd) if found.audit else 0,
        "bad_states": len(found.bad),
        "complete": found.complete,
        "verdicts": {str(verdict): count for verdict, count in found.verdicts.items()},
        "nested_cut_points": counts.nested.cut_points,
        "nested_booted": counts.nested.booted,
        "nested_undecided": counts.nested.undecided,
        "nested_missing": counts.nested.missing,
        "recording": found.recording.id,
        "results_sha256": found.sha256,
    }
