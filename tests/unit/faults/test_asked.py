"""Faults as they are asked for: which form is which."""

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.errors import ConfigurationError
from harness.product.layout import Region
from harness.product.product import Product
from harness.product.profile import DeviceCommands
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


@pytest.fixture
def whole(release: Release) -> Release:
    """With all regions that a phase is about."""
    names = ("slot-B", "data", "boot-selection")
    layout = {name: Region(512 * n, 512) for n, name in enumerate(names)}
    return replace(release, layout=layout)


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
        ("server:tls-expired", r"--scenario 'server\[tls-expired\]'"),
        ("zero-tail:512", r"--scenario 'torn-selection\["),
        ("link-down", "--fault trial:link-down"),
        ("portal", "--fault trial:portal"),
        ("jump:+1d", r"--fault clock:jump"),
    ],
)
def test_what_to_ask_for_instead_is_told(text: str, told: str, release: Release) -> None:
    with pytest.raises(ValueError, match=told):
        AskedFaults.parse(text, release)


def test_what_strikes_beside_the_download(release: Release) -> None:
    asked = "clock:1970-01-02+clock:jump:-20y+trial:portal+reset@10%"
    asked += "+trial/torn:superblock+destroyed:journal+unreadable:inode-table"
    found = AskedFaults.parse(asked, release)
    assert (str(found.clock), str(found.jump)) == ("clock:1970-01-02", "jump:-7300d")
    assert (found.trial, list(map(str, found.network))) == ("portal", ["reset@100"])
    assert list(map(str, found.before_trial)) == ["torn:superblock"]
    assert list(map(str, found.afterwards)) == ["destroyed:journal", "unreadable:inode-table"]
    assert {"clock", "set-clock", "medium-write", "medium-read"} == set(found.needs)
    assert "link" in AskedFaults.parse("trial:link-down", release).needs
    assert len(AskedFaults.parse("reset@10%+reset@10%+status:503", release).network) == 3
    assert AskedFaults.parse("clock:jump:+3650d+status:503", release).jump is not None


def test_a_medium_fails_from_a_phase_on(whole: Release) -> None:
    found = AskedFaults.parse("eio-write@medium/write:50%+slow:1s@data/write:50%+reset@1", whole)
    assert str(found.since) == "eio-write@medium/write:50%"
    assert (len(found.medium), found.power) == (2, None)
    assert set(found.needs) == {"medium-fail", "medium-read"}
    assert AskedFaults.parse("eio-write@medium/committed", whole).since
    assert AskedFaults.parse("eio-write@medium", whole).since is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("eio-write@medium/switch+slow:1s@data", "from that phase on, too"),
        ("eio-write@medium/switch+slow:1s@data/commit", "from that phase on, too"),
        ("eio-write@medium/switch+commit/none", "not with commit/none"),
        ("eio-write@medium/switch+memory:8M", "not with memory:8M"),
        ("eio-write@medium/commit+trial:portal", "not with trial:portal"),
        ("eio-write@medium/commit+trial/torn:superblock", "not with torn:superblock"),
        ("eio-write@medium/rollback", "no bad version"),
        ("eio-write@medium/half", "no phase of an update"),
        ("trial:portal+committed/none", "nothing is committed"),
        ("trial:portal+switch/none", "nothing that is on trial"),
        ("trial:gone", "trial:link-down, trial:portal"),
        ("trial:portal+trial:link-down", "one update has one trial"),
        ("trial/torn:superblock+commit/none", "keeps the board off"),
        ("torn:journal", "only a superblock is torn"),
        ("destroyed:everything", "no damaged block"),
        ("clock:1969-12-31", "a year of 1970"),
        ("clock:1970", "a day such as"),
        ("clock:1970-01-02+clock:1980-01-02", "one real-time clock"),
        ("clock:jump:+0d", "jump of the clock"),
        ("trial/x", "'trial/x' is no damaged block"),
        ("trial/commit/none", "no damaged block"),
        ("eio-write@slot-B+eio-write@slot-B", "eio-write@slot-B: asked for twice"),
        ("torn:superblock+reset@1+torn:superblock", "torn:superblock: asked for twice"),
        ("delay:200ms+delay:1s", "delay: asked for twice"),
        ("boot-write:\N{ARABIC-INDIC DIGIT THREE}/none", "in ASCII"),
    ],
)
def test_what_cannot_be_together_is_told_in_one_line(text: str, told: str, whole: Release) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        AskedFaults.parse(text, whole)
    assert "\n" not in str(refused.value)


def test_a_phase_needs_its_region(release: Release) -> None:
    with pytest.raises(ConfigurationError, match="no region 'boot-selection'"):
        AskedFaults.parse("eio-write@medium/switch", release)


@pytest.mark.parametrize("text", ["clock:1970-01-02", "trial:portal", "torn:superblock"])
def test_what_only_our_own_programs_promise(text: str, whole: Release) -> None:
    driven = cast(DeviceCommands, SimpleNamespace())
    foreign = replace(whole, product=replace(whole.product, device=driven))
    with pytest.raises(ValueError, match="gateway's own programs"):
        AskedFaults.parse(text, foreign)


def test_a_region_that_is_not_there_is_named(release: Release) -> None:
    with pytest.raises(ConfigurationError, match="there is no slot-C"):
        AskedFaults.parse("eio-write@slot-C", release)


def test_a_server_is_told_from_the_network(release: Release) -> None:
    assert str(AskedFaults.parse("server:portalx1", release).server) == "server:portal"
