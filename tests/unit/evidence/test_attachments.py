"""Files of a run: what is larger than anything that is signed is not read."""

import os
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.evidence import attachments, store
from harness.evidence.signing import BrokenEvidenceError
from harness.evidence.store import EvidenceStore
from tests.unit.bounds import bounded
from tests.unit.evidence.samples import TOOLS, finished_run, make_release, record

HUGE = 8 << 40  # bytes, of which none is on the disk


@pytest.mark.parametrize("size", [HUGE, attachments.LARGEST])
def test_a_signed_file_that_has_grown(tmp_path: Path, size: int) -> None:
    subject = make_release(tmp_path / "release")
    signer = CryptoSigner.generate_ed25519()
    stored = finished_run(EvidenceStore(tmp_path / "store"), subject, [record()], signer)
    assert store.read(stored.folder).digest == stored.digest
    os.truncate(stored.folder / "console/boot-1.log", size + 1)
    with bounded(), pytest.raises(BrokenEvidenceError, match="at most") as refused:
        store.read(stored.folder)
    assert "console/boot-1.log" in refused.value.details


def test_what_nobody_would_read_is_not_signed(tmp_path: Path) -> None:
    subject = make_release(tmp_path / "release")
    told: dict[str, Any] = {"board": "gateway-qemu", "lab": "labs/qemu.yaml", "tools": TOOLS}
    run = EvidenceStore(tmp_path / "store").begin(subject, from_release=None, **told)
    run.add(record())
    for number in range(3):  # together
        with (run.consoles / f"boot-{number}.log").open("wb") as log:
            log.truncate(attachments.LARGEST // 2)
    with bounded(), pytest.raises(BrokenEvidenceError, match="at most"):
        run.finish(CryptoSigner.generate_ed25519())
