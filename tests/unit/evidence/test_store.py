import base64
import contextlib
import dataclasses
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.errors import ConfigurationError, HarnessError
from harness.evidence import signing, tools
from harness.evidence.evidence import Evidence
from harness.evidence.signing import BrokenEvidenceError, UntrustedEvidenceError
from harness.evidence.store import EvidenceStore, Stored, load
from harness.evidence.subject import Subject, read_subject
from harness.judge.verdict import Verdict
from harness.product import release
from tests.unit.evidence.samples import finished_run, make_release, record


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_finished_run_is_found_by_its_digests(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    stored = finished_run(store, subject, [record()], signer)
    found = store.find(subject, [signer.public_key])
    assert found.evidence == (stored,)
    assert not found.unusable and not found.other
    assert sorted(path.name for path in stored.folder.iterdir()) == [
        "console",
        "evidence.dsse.json",
        "evidence.json",
    ]
    assert list(stored.evidence.attachments) == ["console/boot-1.log"]


def test_the_statement_is_an_in_toto_test_result(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    records = [record(), record("cut", Verdict.BRICKED), record("net", None)]
    stored = finished_run(store, subject, records, signer)
    statement = json.loads((stored.folder / "evidence.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    digests = {part["name"]: part["digest"]["sha256"] for part in statement["subject"]}
    assert digests == dict(subject.digests.items())
    predicate = statement["predicate"]
    assert (predicate["result"], predicate["passedTests"], predicate["failedTests"]) == (
        "FAILED",
        ["update"],
        ["cut"],
    )


def test_evidence_of_nothing_is_no_pass(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    """It is not even signed, and where it has been, it is no success."""
    with pytest.raises(ConfigurationError, match="no scenario left a record"):
        finished_run(store, subject, [], signer)
    nothing = dataclasses.replace(
        finished_run(store, subject, [record()], signer).evidence, records=()
    )
    assert not nothing.passed
    assert json.loads(nothing.to_bytes())["predicate"]["result"] == "FAILED"


def test_other_content_of_the_same_version_is_told_apart(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner, tmp_path: Path
) -> None:
    other = make_release(tmp_path / "rebuilt", content="rebuilt")
    stored = finished_run(store, other, [record()], signer)
    found = store.find(subject, [signer.public_key])
    assert found.evidence == ()
    assert found.other == (stored,)


def _change_statement(folder: Path) -> None:
    edit(folder / "evidence.json", '"boots": 2', '"boots": 1')


def _change_payload(folder: Path) -> None:
    envelope = json.loads((folder / "evidence.dsse.json").read_text())
    envelope["payload"] = "e30="
    (folder / "evidence.dsse.json").write_text(json.dumps(envelope))


def _cut_envelope_short(folder: Path) -> None:
    file = folder / "evidence.dsse.json"
    file.write_bytes(file.read_bytes()[:100])


def _change_type(folder: Path) -> None:
    edit(folder / "evidence.dsse.json", "application/vnd.in-toto+json", "text/plain")


def _lose_envelope(folder: Path) -> None:
    (folder / "evidence.dsse.json").unlink()


TAMPERINGS = [_change_statement, _change_payload, _cut_envelope_short, _change_type, _lose_envelope]


@pytest.mark.parametrize("tamper", TAMPERINGS)
def test_tampered_evidence_is_broken(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner, tamper: Callable[[Path], None]
) -> None:
    stored = finished_run(store, subject, [record()], signer)
    assert load(stored.folder, [signer.public_key])  # control: it was good before
    tamper(stored.folder)
    with pytest.raises(BrokenEvidenceError):
        load(stored.folder, [signer.public_key])
    found = store.find(subject, [signer.public_key])
    assert found.evidence == ()
    assert [run.folder for run in found.unusable] == [stored.folder]


def _change_log(folder: Path) -> None:
    (folder / "console/boot-1.log").write_text("login: all is well")


def _lose_junit(folder: Path) -> None:
    (folder / "junit.xml").unlink()


def _fill_fifo(folder: Path) -> None:
    (folder / "junit.xml").unlink()
    os.mkfifo(folder / "junit.xml")


def _add_log(folder: Path) -> None:
    (folder / "console/boot-2.log").write_text("login:")


@pytest.mark.parametrize("change", [_change_log, _lose_junit, _fill_fifo, _add_log])
def test_files_of_a_run_are_as_they_were_signed(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner, change: Callable[[Path], None]
) -> None:
    run = store.begin(subject, from_release=None, board="b", lab="l", tools={})
    (run.consoles / "boot-1.log").write_text("login:")
    (run.folder / "junit.xml").write_text("<testsuites/>")
    run.add(record(console_logs=("console/boot-1.log", "console/boot-2.log")))
    stored = run.finish(signer)
    assert sorted(stored.evidence.attachments) == ["console/boot-1.log", "junit.xml"]
    (stored.folder / "report.html").write_text("made anew by anybody")
    assert load(stored.folder, [signer.public_key])  # control
    change(stored.folder)
    with pytest.raises(BrokenEvidenceError, match=r"not (as they were signed|a file of its own)"):
        load(stored.folder, [signer.public_key])


def test_a_run_is_signed_with_files_of_its_own_only(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner, tmp_path: Path
) -> None:
    run = store.begin(subject, from_release=None, board="b", lab="l", tools={})
    (run.consoles / "boot-1.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BrokenEvidenceError, match="not a file of its own"):
        run.finish(signer)


@pytest.mark.parametrize(
    "change",
    [
        {"machine": "a/b"},
        {"machine": "a\nEvidence: x"},
        {"version": "1.0\nEvidence: x"},
        {"version": "blue"},
        {"variants": ("x\x1b[2J",)},
    ],
)
def test_a_subject_is_names_and_a_version(subject: Subject, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is no"):
        dataclasses.replace(subject, **change)


def test_a_forger_without_the_key_is_caught(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    """A statement that is right in itself, in an envelope to match: only the signature is old."""
    bricked = finished_run(store, subject, [record(verdict=Verdict.BRICKED)], signer)
    good = dataclasses.replace(bricked.evidence, records=(record(),)).to_bytes()
    file = bricked.folder / "evidence.dsse.json"
    envelope = json.loads(file.read_text())
    envelope["payload"] = base64.b64encode(good).decode()
    file.write_text(json.dumps(envelope))
    (bricked.folder / "evidence.json").write_bytes(good)
    with pytest.raises(BrokenEvidenceError, match="the signature does not fit the content"):
        load(bricked.folder, [signer.public_key])


def test_a_forger_who_takes_the_name_of_a_key_is_caught(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    forger = CryptoSigner.generate_ed25519(keyid=signer.public_key.keyid)
    stored = finished_run(store, subject, [record()], forger)
    with pytest.raises(BrokenEvidenceError, match="the signature does not fit the content"):
        load(stored.folder, [signer.public_key])


def test_a_stranger_is_not_believed(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    stored = finished_run(store, subject, [record()], signer)
    stranger = CryptoSigner.generate_ed25519()
    with pytest.raises(UntrustedEvidenceError):
        load(stored.folder, [stranger.public_key])


def test_a_signed_lie_is_refused(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    """Even the right key cannot sign a summary that the records do not bear out."""
    stored = finished_run(store, subject, [record(verdict=Verdict.BRICKED)], signer)
    payload = stored.evidence.to_bytes()
    for lie in (
        payload.replace(b'"result": "FAILED"', b'"result": "PASSED"'),
        payload.replace(b'"outcome": "failed"', b'"outcome": "passed"'),
        payload.replace(subject.digests.disk.encode(), b"0" * 64, 1),
        payload.replace(b'"schema": 5', b'"schema": 4'),
        b"{}",
        b"[1]",
    ):
        assert lie != payload
        with pytest.raises(ConfigurationError):
            Evidence.from_bytes(lie, what="lie")


def test_evidence_of_an_older_form_is_refused_in_one_line(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    """Also where its records have other keys than those of today."""
    payload = json.loads(finished_run(store, subject, [record()], signer).evidence.to_bytes())
    detail = payload["predicate"]["harness_evidence"]
    detail["schema"] = 2
    for each in detail["records"]:
        del each["not_checked"]
    with pytest.raises(
        ConfigurationError, match=r"^old: is of schema 2, written by another version"
    ):
        Evidence.from_bytes(json.dumps(payload).encode(), what="old")


def test_a_crash_keeps_the_records_so_far(store: EvidenceStore, subject: Subject) -> None:
    run = store.begin(subject, from_release=None, board="b", lab="l", tools={})
    run.add(record())
    run.add(record("cut", Verdict.BRICKED))
    [again] = store.unfinished(subject)
    assert again.records == run.records
    assert again.header == run.header
    assert store.find(subject, []).evidence == ()


def test_an_unfinished_run_can_be_finished_later(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    store.begin(subject, from_release=subject, board="b", lab="l", tools={}).add(record())
    [again] = store.unfinished(subject)
    again.finish(signer)
    assert store.unfinished(subject) == []
    assert store.find(subject, [signer.public_key]).evidence[0].evidence.passed


def test_a_record_of_another_machine_is_refused(store: EvidenceStore, subject: Subject) -> None:
    run = store.begin(subject, from_release=None, board="b", lab="l", tools={})
    with pytest.raises(ValueError, match="rpi4"):
        run.add(record(machine="rpi4"))


def test_a_changed_release_is_named(tmp_path: Path) -> None:
    make_release(tmp_path / "release")
    (tmp_path / "release" / "disk.img").write_text("changed")
    (tmp_path / "release" / "slot.img").unlink()
    with pytest.raises(ConfigurationError, match="2 problems") as refused:
        read_subject(tmp_path / "release")
    assert "files.disk.img: content is not what" in refused.value.details
    assert "files.slot.img: missing" in refused.value.details


def test_a_release_that_ships_nothing_is_no_subject(tmp_path: Path) -> None:
    make_release(tmp_path / "release")
    nothing = dataclasses.replace(release.load(tmp_path / "release"), files={})
    with pytest.raises(ConfigurationError, match="2 problems") as refused:
        Subject.of(nothing)
    assert "files.update.mender: missing" in refused.value.details


def test_the_development_key_is_made_once_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    monkeypatch.delenv("HARNESS_EVIDENCE_KEY", raising=False)
    first, second = signing.load_signer(), signing.load_signer()
    assert first.public_key == second.public_key
    files = list((tmp_path / "pki").iterdir())
    assert [(file.name, stat.S_IMODE(file.stat().st_mode)) for file in files] == [
        ("evidence_ed25519", 0o600)
    ]
    assert signing.public_key(signing.public_pem(first)) == first.public_key


def test_a_key_file_of_ci_is_used_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signer: CryptoSigner
) -> None:
    file = tmp_path / "key.pem"
    monkeypatch.setenv("HARNESS_EVIDENCE_KEY", str(file))
    file.write_bytes(signer.private_bytes)
    assert signing.load_signer().public_key == signer.public_key
    for bad in (b"no key", CryptoSigner.generate_ecdsa().private_bytes):
        file.write_bytes(bad)
        with pytest.raises(ConfigurationError, match=r"^\$HARNESS_EVIDENCE_KEY: .*key\.pem"):
            signing.load_signer()
    file.write_bytes(signer.private_bytes)
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"^\$HARNESS_EVIDENCE_KEY: .*others can change"):
        signing.load_signer()


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden"])
def test_names_that_leave_the_store_are_refused(store: EvidenceStore, name: str) -> None:
    with pytest.raises(HarnessError):
        list(store.runs("legacy-gateway", name))


def test_tools_are_named_with_versions() -> None:
    told = tools.tool_versions()
    assert str(told["git"]).startswith("git version")
    assert told["pytest"] == pytest.__version__
    assert isinstance(told["harness"], dict)


def test_another_commit_at_the_end_of_a_run_is_a_change() -> None:
    """Though both may be whole: what ran is neither."""
    now = tools.tool_versions()["harness"]
    assert isinstance(now, dict)
    assert tools.tools_at_end({"harness": now}) == {"harness": now}
    began: dict[str, JsonValue] = {**now, "commit": "0" * 40, "dirty": False}
    assert tools.tools_at_end({"harness": began}) == {"harness": {**began, "dirty": True}}


def test_digest_names_the_envelope(
    store: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    stored: Stored = finished_run(store, subject, [record()], signer)
    assert len(stored.digest) == 64
    assert stored.envelope == (stored.folder / "evidence.dsse.json").read_bytes()


@pytest.fixture
def common(store: EvidenceStore) -> EvidenceStore:
    """Where anybody gets to. Pytest's folders are for their owner alone."""
    own = (each for each in store.folder.parents if Path(tempfile.gettempdir()) in each.parents)
    store.folder.mkdir()
    for folder in (store.folder, *own):
        folder.chmod(0o755)
    return store


@contextlib.contextmanager
def somebody_else() -> Iterator[None]:
    """Not root, who may look at everything."""
    root = os.geteuid()
    if root == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(root)


def _closed(path: Path) -> None:
    path.chmod(0)


def _gone(path: Path) -> None:
    """As a link to a disk that is not mounted now."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("nowhere"))
    shutil.rmtree(path.with_name("elsewhere"))


@pytest.mark.parametrize("version", ["1.1.0", "1.1.1"])
@pytest.mark.parametrize("hide", [_closed, _gone])
def test_a_run_that_nobody_can_look_into_is_not_left_out(
    common: EvidenceStore,
    subject: Subject,
    signer: CryptoSigner,
    hide: Callable[[Path], None],
    version: str,
) -> None:
    """It may say that this very slot has bricked a device, under this version or another."""
    about = dataclasses.replace(subject, version=version)
    bad = finished_run(common, about, [record(verdict=Verdict.BRICKED)], signer)
    hide(bad.folder)
    with somebody_else():
        found = common.find(subject, [signer.public_key])
    [unusable] = found.unusable
    assert unusable.folder == bad.folder
    assert str(bad.folder) in str(unusable.error)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_folder_of_runs_that_nobody_can_look_into_is_told(
    common: EvidenceStore, subject: Subject, signer: CryptoSigner, level: int
) -> None:
    other = dataclasses.replace(subject, version="1.1.1")
    bad = finished_run(common, other, [record(verdict=Verdict.BRICKED)], signer)
    closed = [bad.folder.parent, bad.folder.parents[1], common.folder][level]
    closed.chmod(0)
    with somebody_else(), pytest.raises(ConfigurationError, match="Permission denied") as refused:
        common.find(subject, [signer.public_key])
    assert str(closed) in str(refused.value)


def test_a_file_that_nobody_may_read_is_not_left_out(
    common: EvidenceStore, subject: Subject, signer: CryptoSigner
) -> None:
    other = dataclasses.replace(subject, version="1.1.1")
    bad = finished_run(common, other, [record(verdict=Verdict.BRICKED)], signer)
    _closed(bad.folder / "evidence.dsse.json")
    with somebody_else():
        [unusable] = common.find(subject, [signer.public_key]).unusable
    assert "Permission denied" in str(unusable.error)


@pytest.mark.parametrize("place", ["lost+found", "legacy-gateway/lost+found"])
def test_what_no_run_can_be_in_is_in_nobody_s_way(
    common: EvidenceStore, subject: Subject, signer: CryptoSigner, place: str
) -> None:
    """A store may be a file system of its own."""
    stored = finished_run(common, subject, [record()], signer)
    (common.folder / place).mkdir(mode=0o700)
    with somebody_else():
        found = common.find(subject, [signer.public_key])
    assert (found.evidence, found.unusable) == ((stored,), ())
