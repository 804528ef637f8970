"""Faults as they are asked for: which form is which."""

import hashlib
from dataclasses import replace
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
        *("reset@100%", "reset@150%", "reset@1000", "reset@1000%x3", "reset@5x100"),
        *("reset@50%+reset@10%", "close@500+rate:2M+status:503+flip@499"),
        *("status:7", "status:99999", "rate:1", "delay:999999s", "link-down@50%:99999s"),
        *("server:portalx9999", "memory:9999M", "slow:9999s@medium", "switch/only:3"),
        *("clock:1970", "jump:+1d", "torn:superblock", "portal"),
    ],
)
def test_what_is_no_fault_is_refused(text: str, release: Release) -> None:
    with pytest.raises(ValueError):
        AskedFaults.parse(text, release)


def test_what_has_no_end_is_beside_what_strikes_in_order(release: Release) -> None:
    found = AskedFaults.parse("rate:64k+reset@10%+status:503x2+server:changed+close@90%", release)
    assert list(map(str, found.network)) == ["rate:64k", "reset@100", "status:503x2", "close@900"]
    assert found.before_server == 2
    assert found.longest_without_link == 0
    assert AskedFaults.parse("link-down@1:90s", release).longest_without_link == 90


def test_who_begins_anew_is_struck_before_the_last_place(release: Release) -> None:
    promises = replace(release.product.promises, downloads="restarted")
    anew = replace(release, product=replace(release.product, promises=promises))
    assert len(AskedFaults.parse("reset@50%+reset@10%", anew).network) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("clock:1970", r"--scenario 'clock\[1970\]'"),
        ("unreadable:journal", r"--scenario 'data-fault"),
        ("server:tls-expired", r"--scenario 'server\[tls-expired\]'"),
        ("link-down", r"--scenario 'trial\[link-down\]'"),
    ],
)
def test_what_is_a_scenario_of_its_own_is_told_so(text: str, told: str, release: Release) -> None:
    with pytest.raises(ValueError, match=told):
        AskedFaults.parse(text, release)


def test_a_region_that_is_not_there_is_named(release: Release) -> None:
    with pytest.raises(ConfigurationError, match="there is no slot-C"):
        AskedFaults.parse("eio-write@slot-C", release)


def test_a_server_is_told_from_the_network(release: Release) -> None:
    assert str(AskedFaults.parse("server:portalx1", release).server) == "server:portal"
