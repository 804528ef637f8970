"""`harness doctor` names each planted fault of a bench, and nothing on a bench without one.

The board's guest is one sector: it prints `boot`, which stands for a login prompt here, and echoes
what is typed. What takes a real boot (no DHCP, a clock in 1970) is not in here.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.simulate.faults import BenchFault
from tests.unit.simulate.conftest import PLACE, STORAGE, needs_bench
from tests.unit.simulate.virtual import Simulated

pytestmark = needs_bench

# Fault -> the part that is ill, and what is told of it.
NAMED = {
    BenchFault.COORDINATOR_GONE: ("coordinator", "nobody answers"),
    BenchFault.EXPORTER_GONE: ("place", "NetworkPowerPort"),
    BenchFault.STALE_ACQUISITION: ("place", "another-desk/on-holiday"),
    BenchFault.HUNG_PDU: ("relay", "no answer within"),
    BenchFault.ADAPTER_GONE: ("serial port", "refused"),
    BenchFault.STUCK_MUX: ("SD mux", "no card comes"),
    BenchFault.CARD_READ_ONLY: ("card", "read-only"),
    BenchFault.CARD_FORGETS: ("card", "does not keep"),
    BenchFault.WRONG_BAUD: ("console", "no text"),
    BenchFault.SECOND_READER: ("typing", "characters came back"),
    BenchFault.WELDED_RELAY: ("power cut", "still speaks"),
    BenchFault.LATE_RELAY: ("power cut", "after its relay"),
}


def examined(bench: Simulated, *without: str, code: int) -> dict[str, dict[str, Any]]:
    """Findings by part, but for those that a guest of one sector has not."""
    words = ["--lab", str(bench.lab), "--json"]
    for part in ("network", "clock", *without):
        words += ["--without", part]
    told = bench.run("doctor", PLACE, *words, code=code)
    return {each["part"]: each for each in json.loads(told)["boards"][PLACE]}


def _elsewhere(part: str) -> tuple[str, ...]:
    """What need not be looked at to find that one: SSH to the exporter host takes seconds."""
    return () if part in ("SD mux", "card") else ("SD mux", "card")


def ill(found: dict[str, dict[str, Any]]) -> set[str]:
    return {part for part, each in found.items() if each["health"] == "ill"}


def test_a_bench_without_a_fault(flashed: Simulated) -> None:
    """The control of all others; afterwards the place is free, and the card at the board."""
    found = examined(flashed, code=0)
    assert {part for part, each in found.items() if each["health"] != "well"} == {
        "network",
        "clock",
    }, found
    assert (Path("/sys/class/block") / Path(STORAGE).name / "size").read_text().strip() == "0"
    assert "acquired: None" in flashed.client("-p", PLACE, "show")


@pytest.mark.parametrize("fault", NAMED)
def test_each_planted_fault_is_named(flashed: Simulated, fault: BenchFault) -> None:
    part, word = NAMED[fault]
    flashed.harness("plant", fault)
    try:
        found = examined(flashed, *_elsewhere(part), code=3)
    finally:
        flashed.harness("heal")
    assert len(ill(found)) == 1, found
    if fault is BenchFault.SECOND_READER:  # which bytes it takes is chance
        (part,) = ill(found)
    assert ill(found) == {part}, found
    assert word in found[part]["told"]
    assert found[part]["fix"]
