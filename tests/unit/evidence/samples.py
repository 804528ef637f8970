"""Releases, records and evidence to test with: small, valid, and changed a little by each test."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.evidence.evidence import STAMP
from harness.evidence.record import Fault, Record
from harness.evidence.store import EvidenceStore, Stored
from harness.evidence.subject import Subject, read_subject
from harness.evidence.tools import own_version
from harness.judge.verdict import Invariant, Verdict
from harness.product.product import Product
from harness.product.release import FILES, Release, digest
from tests.unit.builders import bundles
from tests.unit.builders.samples import built

ARTIFACT = "update.mender"

# Evidence of today: of a day to come, or an old one, it would not count.
NOON = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
TOOLS = {"qemu": "10", "harness": {"version": own_version(), "commit": "c" * 40, "dirty": False}}


def record(scenario: str = "update", verdict: Verdict | None = Verdict.NEW, **more: Any) -> Record:
    """A record that passes unless told otherwise; `minute` is when it was finished."""
    ended = NOON + timedelta(minutes=more.pop("minute", 1))
    fields: dict[str, Any] = {
        "scenario": scenario,
        "board": "gateway-qemu",
        "machine": "legacy-gateway",
        "expected": (Verdict.NEW, Verdict.OLD),
        "verdict": verdict,
        "boots": 2,
        "invariants": (Invariant(name="data partition unchanged", holds=True),),
        "timeline": ({"seconds": 0, "event": "install"}, {"seconds": 9.5, "event": "cut", "at": 7}),
        "started": ended - timedelta(seconds=48),
        "finished": ended,
        "replay": f"./run harness test --scenario '{scenario}'",
        "console_logs": ("console/boot-1.log",),
        "fault": Fault(printed="write:50%/some:7", seed=7, parameters={"count": 4096}),
        "error": "" if verdict else "QEMU ended with exit code 1",
    }
    return Record(**{**fields, **more})


def make_release(
    folder: Path,
    *,
    version: str = "1.1.0",
    machine: str = "legacy-gateway",
    content: str = "",
    variants: tuple[str, ...] = (),
) -> Subject:
    """A release folder whose files are small, but real and really hashed."""
    folder.mkdir()
    for name in FILES:
        text = f"{name} of {machine} {version} {content}"
        (folder / name).write_bytes(text.encode().ljust(512, b"."))  # a disk has whole sectors
    (folder / ARTIFACT).write_bytes(bundles.mender((folder / "slot.img").read_bytes()))
    shipped = [*FILES, ARTIFACT]
    files = {name: digest(folder / name) for name in shipped}
    release = Release(
        folder=folder,
        machine=machine,
        version=version,
        variants=variants,
        product=Product(client="mender", bootloader="grub", compatible=machine),
        built=built(f"images/{machine}"),
        artifact_name=ARTIFACT,
        slot=files["slot.img"],
        layout={},
        files=files,
    )
    release.write()
    return read_subject(folder)


def finished_run(
    store: EvidenceStore,
    subject: Subject,
    records: Iterable[Record],
    signer: CryptoSigner,
    *,
    from_release: Subject | None = None,
    begun: datetime | None = None,
    **header: Any,
) -> Stored:
    """A finished run about `subject`; `begun`: not now."""
    told: dict[str, Any] = {"board": "gateway-qemu", "lab": "labs/qemu.yaml", "tools": TOOLS}
    run = store.begin(subject, from_release=from_release, **{**told, **header})
    if begun:
        run.header = replace(run.header, run=f"{begun:{STAMP}}-0123abcd")
    (run.consoles / "boot-1.log").write_text("login:")
    for each in records:
        run.add(each)
    return run.finish(signer)
