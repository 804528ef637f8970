import html.parser
import io
from pathlib import Path

import rich.console
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.evidence.report import write_report
from harness.evidence.store import EvidenceStore
from harness.evidence.subject import Subject
from harness.evidence.table import verdict_table
from harness.verdict import Invariant, Verdict
from tests.unit.evidence.samples import finished_run, record

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
        record(),
        record("power-cut[write:50%/some:7]", Verdict.INCONSISTENT, invariants=(broken,)),
        record("network[reset]", None, console_logs=("console/gone.log",), timeline=()),
    ]
    stored = finished_run(store, subject, records, signer)
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
    ):
        assert text in page.text


def test_a_run_without_records_has_a_page(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner, tmp_path: Path
) -> None:
    evidence = finished_run(store, subject, [], signer).evidence
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
