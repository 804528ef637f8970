"""An exploration becomes evidence that says what its numbers say."""

import gzip
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.crash.exploration import prove, summary
from harness.crash.exploration.explore import Plan
from harness.crash.exploration.explore import explore as explore_states
from harness.crash.exploration.prove import Proof
from harness.crash.exploration.resume import resumed
from harness.crash.recording.recording import FILE, Recording
from harness.crash.results.results import Results
from harness.crash.results.results import load as read
from harness.crash.results.results import recorded as recorded_as
from harness.errors import ConfigurationError
from harness.evidence import crash, explored
from harness.evidence.record import Outcome, Record
from harness.evidence.store import EvidenceStore, load
from harness.evidence.subject import read_subject
from harness.judge.inspection import Inspection
from harness.judge.verdict import Verdict
from harness.medium.log import HEADER, LogReader
from harness.product import release as releases
from tests.unit.crash.explored import change, copied, explore
from tests.unit.crash.recordings import recording
from tests.unit.crash.samples import disagreeing, results, write_run
from tests.unit.evidence.samples import NOON


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Releases and a recording of an update that loses no power cut, explored to its end."""
    folder = tmp_path_factory.mktemp("good")
    explore(recording(folder, careful=True).folder)
    return folder


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    return copied(recorded, tmp_path / "copy")


def record_of(folder: Path, content: dict[str, Any]) -> Record:
    run = write_run(folder, content)
    return crash.record_of(read(run), run, NOON)


def test_a_good_exploration_is_signed_with_its_numbers(
    run: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    content = json.loads((run / "results.json").read_text())
    kept = crash.keep(run, store, signer)
    stored = load(kept.folder, [signer.public_key])
    [record] = stored.evidence.records
    assert stored.evidence.passed
    assert record.not_checked == Inspection.not_looked_at(Recording.load(run).old)
    assert stored.evidence.subject == read_subject(run.parent / "new")
    assert stored.evidence.header.from_release == read_subject(run.parent / "old")
    assert record.scenario == "crash"
    assert record.verdict is Verdict.NEW  # the worst that was seen
    assert record.replay == f"./run harness crash report {run}"
    assert record.seconds == content["timing"]["seconds"]
    assert record.fault is not None
    numbers = record.fault.parameters
    assert numbers["cut_points"] == content["counts"]["cut_points"]
    assert numbers["verdicts"] == content["verdicts"]
    assert numbers["recording"] == Recording.load(run).id
    text = gzip.decompress((kept.folder / crash.RESULTS_FILE).read_bytes())
    assert numbers["results_sha256"] == hashlib.sha256(text).hexdigest()
    assert json.loads(text) == content
    assert "0 bricked, 0 inconsistent of" in (kept.folder / crash.REPORT_FILE).read_text()
    assert (kept.folder / "report.html").is_file()
    assert explored.told(record).endswith(f"cut points, {content['counts']['booted']:,} booted")


def _ended(run: Path, when: Callable[[int], float | None]) -> None:
    """Have each boot end at another time, as a worker would have kept it; results anew."""
    recording = Recording.load(run)
    for number, proof in enumerate(prove.proofs(recording)):
        replace(proof, ended=when(number) or 0.0).save()
    explored = resumed(recording, seed=1)
    explored.nest()
    summary.write(explored, run, seconds=1.0, jobs=1)


def test_evidence_is_as_old_as_its_oldest_boot(
    run: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    """A copy of the folder is no younger, and one boot of today makes nothing new."""
    _ended(run, lambda number: NOON.timestamp() - 1000 * number)
    last = len(prove.proofs(Recording.load(run))) - 1
    copy = run.with_name("another")
    shutil.copytree(run, copy, copy_function=shutil.copyfile)
    [record] = load(crash.keep(copy, store, signer).folder, [signer.public_key]).evidence.records
    assert record.finished == NOON - timedelta(seconds=1000 * last)


def test_boots_of_nobody_knows_when_are_of_the_beginning_of_time(
    run: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    _ended(run, lambda number: NOON.timestamp() if number else None)
    [record] = load(crash.keep(run, store, signer).folder, [signer.public_key]).evidence.records
    assert record.finished.year == 1970


def test_results_that_change_while_they_are_looked_at_are_not_signed(
    run: Path, store: EvidenceStore, signer: CryptoSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recounted(recording: Recording, found: Results) -> None:
        file = run / "results.json"
        file.write_text(file.read_text().replace('"timing"', ' "timing"', 1))

    monkeypatch.setattr(crash, "recount", recounted)
    with pytest.raises(ConfigurationError, match="was written while it was looked at"):
        crash.keep(run, store, signer)


def test_a_boot_that_nobody_may_look_at_is_not_left_out(
    run: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    folder = sorted((run / "proofs").iterdir())[-1]
    folder.rename(run / "elsewhere")
    folder.symlink_to(folder)  # whoever is root may look into everything but this
    assert f"{folder}: Too many levels" in refusal(run, store, signer)


def test_a_card_with_a_cache_is_never_the_plain_one(tmp_path: Path) -> None:
    content = results()
    content["recording"]["model"] = "disk~8"
    record = record_of(tmp_path, content)
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
    proof = content["proofs"][-1]
    proof |= {"verdict": "inconsistent", "final": ""}
    told = {"state": proof["state"], "verdict": "inconsistent", "why": [], "proof": proof["id"]}
    content["bad"] = [{**told, "at": 41, "count": 1}]
    assert record_of(tmp_path, content).verdict is Verdict.INCONSISTENT


def test_a_sample_that_is_bricked_is_a_failure(tmp_path: Path) -> None:
    assert record_of(tmp_path, disagreeing(results(), "bricked ")).verdict is Verdict.BRICKED


def test_bad_and_incomplete_is_a_failure(tmp_path: Path) -> None:
    assert record_of(tmp_path, {**results(bad=True), "complete": False}).verdict is Verdict.BRICKED


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({**results(), "complete": False}, "ended before it was complete"),
        (disagreeing(results(), "new new"), "otherwise"),
        (results(open_end=True), "4,233 cut points are undecided"),
    ],
)
def test_what_is_not_proven_is_no_verdict(
    tmp_path: Path, content: dict[str, Any], why: str
) -> None:
    record = record_of(tmp_path, content)
    assert record.outcome is Outcome.LAB_ERROR
    assert why in record.error


def refusal(run: Path, store: EvidenceStore, signer: CryptoSigner) -> str:
    """Why nothing is signed."""
    with pytest.raises(ConfigurationError) as caught:
        crash.keep(run, store, signer)
    assert not store.folder.exists()
    return str(caught.value)


def test_a_log_that_was_cut_is_neither_explored_nor_signed(
    run: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    with LogReader(run / "log.bin") as log:
        twelve = list(log.records())[12]
    os.truncate(run / "log.bin", twelve.payload_at - HEADER)
    with pytest.raises(ConfigurationError, match=r"log\.bin has .* bytes, not .* as recorded"):
        explore_states(run, Plan(jobs=1))
    assert "as recorded" in refusal(run, store, signer)
    files = json.loads((run / FILE).read_text())["files"]
    files["log.bin"]["size"] = (run / "log.bin").stat().st_size
    change(run / FILE, files=files)  # it is longer than twelve records, and not what was recorded
    assert "records" in refusal(run, store, signer)


@pytest.mark.parametrize("file", ["run/log.bin", "run/probe.raucb", "old/disk.img", "new/slot.img"])
def test_one_changed_byte_is_noticed(
    run: Path, store: EvidenceStore, signer: CryptoSigner, file: str
) -> None:
    path = run.parent / file
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([path.read_bytes()[-1] ^ 1]))
    told = f"{path} has another content than was recorded"
    assert told in refusal(run, store, signer)
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        explore_states(run, Plan(jobs=1))


def test_a_release_that_was_replaced_is_not_signed_for(
    run: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    """All of it is another one, and fits together: artifact, disk image, release.json."""
    new = releases.load(run.parent / "new")
    for path in (new.artifact, new.disk_image):
        path.write_bytes(path.read_bytes()[::-1])
    files = {name: releases.digest(new.folder / name) for name in new.files}
    replace(new, files=files).write()
    assert "is not the release that was recorded: another files" in refusal(run, store, signer)


def test_an_artifact_alone_is_noticed(
    run: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    (run.parent / "new/update.raucb").write_text("another one")
    assert "update.raucb has 11 bytes" in refusal(run, store, signer)


def other_run(folder: Path) -> Path:
    """A recording of the same versions that has bad states, explored."""
    made = recording(folder)
    explore(made.folder)
    assert read(made.folder).bad
    return made.folder


def test_results_of_another_recording_are_refused(
    run: Path, tmp_path: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    """Those of a good one over a bad one's; then they say that they are its; then proofs, too."""
    (tmp_path / "bad").mkdir()
    bad = other_run(tmp_path / "bad")
    shutil.copyfile(run / "results.json", bad / "results.json")
    assert "recording.id: " in refusal(bad, store, signer)
    change(bad / "results.json", recording=asdict(recorded_as(Recording.load(bad), "disk")))
    assert "results.json: " in refusal(bad, store, signer)
    shutil.rmtree(bad / "proofs")
    shutil.copytree(run / "proofs", bad / "proofs")
    good, own = Recording.load(run).id, Recording.load(bad).id
    explored = f"recording: {good:.12} is another one, {bad} is {own:.12}"
    with pytest.raises(ConfigurationError, match=re.escape(explored)):
        explore_states(bad, Plan(jobs=1))


def test_results_that_proofs_do_not_come_to_are_refused(
    tmp_path: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    """A proof was deleted, a bad one turned into a good one, or the boot's own log changed."""
    run = other_run(tmp_path)
    number = next(bad.proof for bad in read(run).bad)
    proof = run / "proofs" / number
    kept = (proof / "log.bin").read_bytes()
    (proof / "log.bin").write_bytes(kept[:-1] + b"?")
    assert "log.bin has another content" in refusal(run, store, signer)
    (proof / "log.bin").write_bytes(kept)
    told = (proof / "proof.json").read_bytes()
    change(proof / "proof.json", final="new", slot="B", verdict="new", broken=[])
    assert "seal: something was changed after the boot" in refusal(run, store, signer)
    (proof / "proof.json").write_bytes(told)
    made = Proof.load(proof, Recording.load(run))
    replace(made, final="new", slot="B", verdict=Verdict.NEW, broken=()).save()
    assert "not what recording and proofs come to" in refusal(run, store, signer)
    shutil.rmtree(proof)
    assert "proof" in refusal(run, store, signer)


def test_a_bad_exploration_is_signed_as_such(
    tmp_path: Path, store: EvidenceStore, signer: CryptoSigner
) -> None:
    run = other_run(tmp_path)
    [record] = load(crash.keep(run, store, signer).folder, [signer.public_key]).evidence.records
    assert record.verdict is Verdict.INCONSISTENT
