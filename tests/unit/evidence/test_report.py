import dataclasses
import html.parser
import io
import re
from dataclasses import replace
from pathlib import Path

import rich.console
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.evidence.evidence import Evidence
from harness.evidence.record import Try
from harness.evidence.report import write_matrix, write_report
from harness.evidence.store import EvidenceStore, Stored
from harness.evidence.subject import Subject
from harness.evidence.table import summary_line, verdict_table
from harness.judge.verdict import Invariant, NotChecked, Verdict
from harness.plugins import UsedPart
from tests.unit.evidence.samples import NOON, finished_run, make_release, record

VOID = {"meta", "line"}


class Page(html.parser.HTMLParser):
    """Text, links and unclosed tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_tells_everything_and_needs_nothing(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    broken = Invariant(name="data partition unchanged", holds=False, detail="<b>differs</b>")
    records = [
        record(not_checked=(NotChecked(name="slot-content", why="no <medium-read>"),)),
        record("power-cut[write:50%/some:7]", Verdict.INCONSISTENT, invariants=(broken,)),
        record("network[reset]", None, console_logs=("console/gone.log",), timeline=()),
    ]
    kvm = {"gateway-qemu": "kvm"}
    stored = finished_run(store, subject, records, signer, accelerators=kvm)
    file = write_report(stored.evidence, stored.folder)
    page = Page(file.read_text())
    assert page.open == []
    assert set(page.links) == {"console/boot-1.log"}
    assert (stored.folder / page.links[0]).is_file()
    for text in (
        "power-cut[write:50%/some:7]",
        "data partition unchanged does not hold: <b>differs</b>",
        "console/gone.log (missing)",
        "QEMU ended with exit code 1",
        records[1].replay,
        subject.digests.disk,
        "Not fit for promotion",
        "slot-content no <medium-read>",
        "(1 not checked)",
        "board gateway-qemu (QEMU, kvm), lab labs/qemu.yaml",
    ):
        assert text in page.text


def test_a_run_without_records_has_a_page(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner, tmp_path: Path
) -> None:
    evidence = dataclasses.replace(
        finished_run(store, subject, [record()], signer).evidence, records=()
    )
    assert "No scenario finished" in write_report(evidence, tmp_path).read_text()


def test_the_table_shows_every_scenario_as_it_is_written(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    records = [record("power-cut[bold]"), record("bad-update[init]", Verdict.BRICKED)]
    stored = finished_run(store, subject, records, signer)
    out = io.StringIO()
    rich.console.Console(file=out, width=100).print(verdict_table(stored.evidence))
    assert "power-cut[bold]" in out.getvalue()
    assert "bricked, expected new or old" in out.getvalue()
    assert "1 passed, 1 failed, 0 lab errors" in out.getvalue()


def matrix(tmp_path: Path, store: EvidenceStore, signer: CryptoSigner) -> list[Stored]:
    """Two machines: one scenario that only one ran, one that failed, one that was not judged."""
    results = {
        "legacy-gateway": [record(), record("power-cut[switch/all]", Verdict.OLD, boots=3)],
        "rpi4": [
            record(machine="rpi4"),
            record("network[stall]", None, machine="rpi4"),
            record("power-cut[switch/all]", Verdict.BRICKED, machine="rpi4"),
        ],
    }
    found = []
    for machine, records in results.items():
        old = make_release(tmp_path / f"{machine}-0", machine=machine, version="1.0.0")
        new = make_release(tmp_path / f"{machine}-1", machine=machine)
        found.append(finished_run(store, new, records, signer, from_release=old))
    return found


def test_the_table_of_a_matrix(tmp_path: Path, store: EvidenceStore, signer: CryptoSigner) -> None:
    out = io.StringIO()
    console = rich.console.Console(file=out, width=120)
    console.print(verdict_table(*(run.evidence for run in matrix(tmp_path, store, signer))))
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert lines == MATRIX.strip().splitlines(), out.getvalue()


def test_one_machine_s_table_says_from_where_to_where(
    tmp_path: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    table = verdict_table(matrix(tmp_path, store, signer)[1].evidence)
    assert table.title == "rpi4 1.0.0 -> 1.1.0 on gateway-qemu"


def test_the_page_of_a_matrix_leads_to_each_report(
    tmp_path: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    runs = matrix(tmp_path, store, signer)
    for stored in runs:
        write_report(stored.evidence, stored.folder)
    page = Page(write_matrix(runs, store.folder).read_text())
    assert page.open == []
    assert [(store.folder / link).resolve() for link in page.links] == [
        stored.folder / "report.html" for stored in runs
    ]
    for text in ("rpi4 1.0.0 -> 1.1.0", "bricked", "lab-error", "network[stall]", "-"):
        assert text in page.text


MATRIX = """
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃                                                  ┃ legacy-gateway 1.0.0 -> 1.1.0 ┃ rpi4 1.0.0 -> 1.1.0        ┃
┃                                                  ┃ gateway-qemu                  ┃ gateway-qemu               ┃
┃ scenario                                         ┃ verdict      boots seconds    ┃ verdict      boots seconds ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ update                                           │ new              2    48.0    │ new              2    48.0 │
│ power-cut[switch/all]                            │ old              3    48.0    │ bricked          2    48.0 │
│   rpi4: bricked, expected new or old             │                               │                            │
│ network[stall]                                   │ -                             │ lab-error        2    48.0 │
│   rpi4: lab trouble: QEMU ended with exit code 1 │                               │                            │
└──────────────────────────────────────────────────┴───────────────────────────────┴────────────────────────────┘
legacy-gateway: 2 passed, 0 failed, 0 lab errors
rpi4: 1 passed, 1 failed, 1 lab errors
"""  # noqa: E501


def test_numbers_and_texts_of_others_are_shown_as_far_as_they_go(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    """When it was may be any number; what it was may steer a terminal that shows the page."""
    odd = (1.0, 10**400, float("nan"), float("inf"), -1e300)
    marks = tuple(
        {"seconds": seconds, "event": "\x1b[2Jboot \u202egnp", "why": "\x9b31m"} for seconds in odd
    )
    stored = finished_run(store, subject, [record()], signer)
    shown = dataclasses.replace(stored.evidence, records=(record(timeline=marks),))
    page = write_report(shown, stored.folder).read_text()
    assert not set(page) & set("\x1b\x9b\u202e")
    assert "\\x1b[2Jboot \\u202egnp" in page and "why \\x9b31m" in page
    assert not re.search(r'"(nan|inf|-?\d{20,})', page)


def test_parts_of_others_are_shown(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    ours = UsedPart(
        group="clients",
        name="rauc",
        value="harness.clients.rauc:Client",
        distribution="harness",
        version="0.1.0",
    )
    theirs = replace(ours, name="acme", value="acme:C", distribution="acme-ota", version="1.2")
    stored = finished_run(store, subject, [record()], signer, parts=(ours, theirs))
    page = write_report(stored.evidence, stored.folder).read_text()
    assert page.count("not the harness&#39;s own") + page.count("not the harness's own") == 1
    assert "acme-ota 1.2" in page and "harness 0.1.0" in page
    assert summary_line(stored.evidence).endswith(", with parts of acme-ota 1.2")
    assert Evidence.from_bytes(stored.evidence.to_bytes(), what="x") == stored.evidence
    stored = finished_run(store, subject, [record()], signer, parts=(ours,))
    assert "with parts of" not in summary_line(stored.evidence)


def test_tries_that_the_lab_broke_are_shown(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    broken = Try(
        error="exporter has gone",
        started=NOON,
        finished=NOON,
        console_logs=("console/update/boot-1.log",),
    )
    stored = finished_run(store, subject, [record(earlier=(broken,))], signer)
    page = write_report(stored.evidence, stored.folder).read_text()
    assert "Try 1, which the lab broke" in page and "exporter has gone" in page
    assert stored.evidence.passed
    console = rich.console.Console(file=io.StringIO(), width=200)
    console.print(verdict_table(stored.evidence))
    told = console.file
    assert isinstance(told, io.StringIO) and "tried again: exporter has gone" in told.getvalue()
    assert Evidence.from_bytes(stored.evidence.to_bytes(), what="x") == stored.evidence
