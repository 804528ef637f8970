import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigurationError
from harness.evidence import signing
from harness.promotion.policy import Policy, Read, matches
from harness.promotion.ring import Ring, RingState
from harness.version import is_newer
from tests.unit.promotion.conftest import Bench


def reader(folder: Path) -> Read:
    """What `Policy.load` reads by, of a folder."""

    def read(path: str) -> str | None:
        file = folder / path
        return file.read_text() if file.is_file() else None

    return read


def load(folder: Path, text: str) -> Policy:
    (folder / "policy.yaml").write_text(text)
    return Policy.load(reader(folder))


def problems(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError, match=r"policy\.yaml") as refused:
        load(folder, text)
    return refused.value.details


def test_the_starter_policy_loads(bench: Bench) -> None:
    policy = Policy.load(reader(bench.init("checkout", bare=False)))
    assert [key.keyid for key in policy.trusted(Ring.FLEET)] == [bench.signer.public_key.keyid]
    assert policy.rings[Ring.FLEET].requires_ring is Ring.CANARY


def test_a_key_is_in_place_or_a_file_of_the_repository(bench: Bench, tmp_path: Path) -> None:
    pem = signing.public_pem(bench.signer)
    (tmp_path / "key.pem").write_text(pem)
    ring = "{machines: [m], evidence_keys: [k], scenarios: [update]}"
    policy = f"schema: 1\nkeys: {{k: {{file: key.pem}}}}\nrings: {{lab: {ring}}}\n"
    in_file = load(tmp_path, policy).trusted(Ring.LAB)
    in_place = load(tmp_path, policy.replace("file: key.pem", f"pem: {json.dumps(pem)}"))
    assert in_place.trusted(Ring.LAB) == in_file == [bench.signer.public_key]
    assert "outside" in problems(tmp_path, policy.replace("key.pem", "../key.pem"))
    assert "no such file" in problems(tmp_path, policy.replace("key.pem", "none.pem"))


def test_all_problems_come_at_once_with_their_key_path(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        """
        schema: 1
        keys: {k: {pem: 1}}
        colour: red
        rings:
          canary: {machines: [], evidence_keys: [k], scenarios: [1.10], speed: 1}
          beta: {machines: [m], evidence_keys: [k]}
        """,
    )
    for path in (
        "keys.k.pem",
        "colour",
        "rings.canary.machines",
        "rings.canary.scenarios.0",
        "rings.canary.speed",
        "rings.beta",
    ):
        assert f"  - {path}" in told, told


def test_names_must_lead_somewhere(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        """
        schema: 2
        keys: {bad: {pem: nonsense}, neither: {}}
        rings:
          lab: {machines: [m], evidence_keys: [who], scenarios: [update], requires_ring: fleet}
          canary: {machines: [m], evidence_keys: [bad]}
        """,
    )
    for path in (
        "schema: 2 is not known",
        "keys.bad: ",
        "keys.neither: needs either pem or file",
        "rings.lab.evidence_keys: 'who' is not one of keys",
        "rings.lab.requires_ring: fleet does not come before lab",
        "rings.canary: asks for no scenario",
    ):
        assert path in told, told


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("schema: 1\nkeys: {}\nrings: {}\nkeys: {}\n")
    with pytest.raises(ConfigurationError, match="not usable YAML") as refused:
        Policy.load(reader(tmp_path))
    assert "'keys' occurs twice" in refused.value.details


def test_no_policy_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has none"):
        Policy.load(reader(tmp_path))


@pytest.mark.parametrize(
    ("pattern", "scenario", "expected"),
    [
        ("power-cut[*]", "power-cut[write:50%/some:7]", True),
        ("power-cut[*/none]", "power-cut[switch/none]", True),
        ("power-cut[*/none]", "power-cut[switch/all]", False),
        ("power-cut[*]", "bad-update[x]", False),
        ("update", "update2", False),
        ("u?date", "update", False),
        ("*", "anything", True),
    ],
)
def test_only_the_star_is_special(pattern: str, scenario: str, expected: bool) -> None:
    assert matches(pattern, scenario) is expected


@pytest.mark.parametrize(
    ("version", "than", "expected"),
    [
        ("1.10.0", "1.9.0", True),
        ("1.9.0", "1.10.0", False),
        ("1.1.0", "1.1.0", False),
        ("1.1.0~rc1", "1.1.0", False),  # as dpkg, and not PEP 440, has it
        ("1.1.0rc1", "1.1.0", True),
        ("1.1.0-2", "1.1.0-1", True),
        ("1.0.0+b2", "1.0.0", True),
        ("1.00", "1.0", False),
    ],
)
def test_order_of_versions(version: str, than: str, expected: bool) -> None:
    assert is_newer(version, than) is expected


def test_a_ring_file_is_read_strictly() -> None:
    with pytest.raises(ConfigurationError, match=r"rings/lab\.yaml: 2 problems"):
        RingState.parse("machines: {m: {version: '1'}}", what="rings/lab.yaml")


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_patterns_mean_what_they_are_written_as(pattern: str, scenario: str) -> None:
    meant = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), scenario) is not None
    assert matches(pattern, scenario) is meant


def test_a_pattern_takes_no_longer_than_its_text() -> None:
    assert not matches("*a" * 200 + "*b", "a" * 20_000)
