"""An exploration becomes evidence that says what its numbers say."""

import gzip
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.crash.recording import Recording
from harness.crash.results import load as read
from harness.errors import ConfigurationError
from harness.evidence import crash
from harness.evidence.record import Outcome, Record
from harness.evidence.store import EvidenceStore, load
from harness.evidence.subject import read_subject
from harness.images import release as releases
from harness.verdict import Verdict
from tests.unit.crash.samples import START, packed, results, write_run
from tests.unit.evidence.samples import NOON, make_release

POSITIONS = 500


def make_run(folder: Path, content: dict[str, Any]) -> Path:
    """A recording between two small releases, explored."""
    run = write_run(folder / "run", content)
    for version in ("1.0.0", "1.1.0"):
        make_release(folder / version, version=version)
    old, new = (releases.load(folder / version) for version in ("1.0.0", "1.1.0"))
    (run / "log.bin").touch()
    Recording(
        folder=run,
        machine="legacy-gateway",
        board="gateway-qemu",
        model="disk",
        lab=Path("labs/qemu.yaml"),
        old=old,
        new=new,
        base=old.disk_image,
        base_sha256=old.files["disk.img"].sha256,
        start=START,
        end=START + POSITIONS,
        phases=(),
        server_port=1,
        clock=datetime(2026, 11, 23, tzinfo=UTC),
        seed=1,
        outcomes=(),
    ).save()
    return run


def record_of(folder: Path, content: dict[str, Any]) -> Record:
    run = write_run(folder, content)
    return crash.record_of(read(run), run, NOON)


def test_a_good_exploration_is_signed_with_its_numbers(
    tmp_path: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    content = results(POSITIONS)
    run = make_run(tmp_path, content)
    kept = crash.keep(run, store, signer)
    stored = load(kept.folder, [signer.public_key])
    [record] = stored.evidence.records
    assert stored.evidence.passed
    assert stored.evidence.subject == read_subject(tmp_path / "1.1.0")
    assert stored.evidence.header.from_release == read_subject(tmp_path / "1.0.0")
    assert record.scenario == "crash"
    assert record.verdict is Verdict.RECOVERED  # the worst that was seen
    assert record.replay == f"./run harness crash report {run}"
    assert record.seconds == content["timing"]["seconds"]
    assert record.fault is not None
    numbers = record.fault.parameters
    assert numbers["cut_points"] == content["counts"]["cut_points"]
    assert numbers["verdicts"] == content["verdicts"]
    text = gzip.decompress((kept.folder / crash.RESULTS_FILE).read_bytes())
    assert numbers["results_sha256"] == hashlib.sha256(text).hexdigest()
    assert json.loads(text) == packed(content)
    assert "0 bricked, 0 inconsistent of" in (kept.folder / crash.REPORT_FILE).read_text()
    assert (kept.folder / "report.html").is_file()
    assert crash.told(record).endswith(f"cut points, {content['counts']['booted']:,} booted")


def test_a_card_with_a_cache_is_never_the_plain_one(
    tmp_path: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    content = results(POSITIONS)
    content["recording"]["model"] = "disk~8"
    [record] = crash.keep(make_run(tmp_path, content), store, signer).evidence.records
    assert record.scenario == "crash-card-cache"
    assert record.fault and record.fault.parameters["model"] == "disk~8"
    assert record.fault.parameters["losses"] == content["counts"]["losses"]
    assert record.fault.parameters["drawn"] == 40


def test_a_bad_exploration_is_a_failure(tmp_path: Path) -> None:
    record = record_of(tmp_path, results(bad=True))
    assert record.outcome is Outcome.FAILED
    assert record.verdict is Verdict.BRICKED
    assert "4 bricked, 1 inconsistent of" in record.why


def test_a_bad_second_cut_is_a_failure_though_no_cut_point_is_bad(tmp_path: Path) -> None:
    content = results()
    content["bad"] = [{"state": "99/none>5/all", "verdict": "inconsistent", "proof": "0007"}]
    assert record_of(tmp_path, content).verdict is Verdict.INCONSISTENT


def test_a_sample_that_is_bricked_is_a_failure(tmp_path: Path) -> None:
    content = results()
    content["disagreements"] = [{"state": "99/none", "expected": "old old", "got": "bricked "}]
    content["counts"]["disagreements"] = 1
    assert record_of(tmp_path, content).verdict is Verdict.BRICKED


def test_bad_and_incomplete_is_a_failure(tmp_path: Path) -> None:
    assert record_of(tmp_path, {**results(bad=True), "complete": False}).verdict is Verdict.BRICKED


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("complete", False, "ended before it was complete"),
        ("points", [], "add up to 0 of"),
        (
            "disagreements",
            [{"state": "9/none", "expected": "old old", "got": "new new"}],
            "sampled",
        ),
    ],
)
def test_what_is_not_proven_is_no_verdict(tmp_path: Path, key: str, value: Any, why: str) -> None:
    record = record_of(tmp_path, {**results(), key: value})
    assert record.outcome is Outcome.LAB_ERROR
    assert why in record.error


def test_undecided_cut_points_are_no_verdict(tmp_path: Path) -> None:
    record = record_of(tmp_path, {**results(open_end=True), "complete": True})
    assert record.outcome is Outcome.LAB_ERROR
    assert "cut points are undecided" in record.error


def test_results_of_another_recording_are_refused(
    tmp_path: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    run = make_run(tmp_path, results(POSITIONS + 1))
    with pytest.raises(ConfigurationError, match=r"recording\.end: 541, but recording\.json"):
        crash.keep(run, store, signer)
    assert not store.folder.exists()


def test_a_release_that_has_changed_is_refused(
    tmp_path: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    run = make_run(tmp_path, results(POSITIONS))
    (tmp_path / "1.1.0" / "update.raucb").write_text("another one")
    with pytest.raises(ConfigurationError, match=r"files\.update\.raucb"):
        crash.keep(run, store, signer)
    assert not store.folder.exists()
