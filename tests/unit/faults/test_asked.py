"""Faults as they are asked for: which form is which."""

import hashlib
from pathlib import Path

import pytest

from harness.errors import ConfigurationError
from harness.product.layout import Region
from harness.product.product import Product
from harness.product.release import Digest, Release
from harness.scenarios.asked import AskedFaults
from tests.unit.builders.samples import built


@pytest.fixture
def release(tmp_path: Path) -> Release:
    (tmp_path / "update").write_bytes(bytes(1000))
    return Release(
        folder=tmp_path,
        machine="fake",
        version="1",
        variants=(),
        product=Product(client="fake", bootloader="grub", compatible="fake"),
        built=built(),
        slot=Digest(sha256=hashlib.sha256(b"").hexdigest(), size=0),
        artifact_name="update",
        layout={"slot-B": Region(0, 512)},
        files={},
    )


def test_each_form_is_known_by_itself(release: Release) -> None:
    asked = "reset@10%x5+eio-write@slot-B+server:portalx2+status:503x2+switch/some:1"
    found = AskedFaults.parse(asked, release)
    assert list(map(str, found.network)) == ["reset@100x5", "status:503x2"]
    assert list(map(str, found.medium)) == ["eio-write@slot-B"]
    assert str(found.server) == "server:portalx2"
    assert str(found.power) == "switch/some:1"
    assert str(AskedFaults.parse("reset@10%+memory:8M", release).memory) == "memory:8M"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "reset",
        "what@ever",
        "switch/none+commit/all",
        "switch/half",
        "server:gone",
        "server:tls",
        "memory:8",
        "memory:8M+memory:9M",
        "memory:8M+commit/none",
        "rate:2M+reset@5",
    ],
)
def test_what_is_no_fault_is_refused(text: str, release: Release) -> None:
    with pytest.raises(ValueError):
        AskedFaults.parse(text, release)


def test_a_region_that_is_not_there_is_named(release: Release) -> None:
    with pytest.raises(ConfigurationError, match="there is no slot-C"):
        AskedFaults.parse("eio-write@slot-C", release)


def test_a_server_is_told_from_the_network(release: Release) -> None:
    assert str(AskedFaults.parse("server:portalx1", release).server) == "server:portal"
