from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from harness.evidence.store import EvidenceStore
from harness.evidence.subject import Subject
from tests.unit.evidence.samples import make_release


@pytest.fixture
def signer() -> CryptoSigner:
    return CryptoSigner.generate_ed25519()


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path / "store")


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return make_release(tmp_path / "release")
