"""The virtual bench from outside: labgrid's own client, HTTP, TCP; no harness in between."""

import contextlib
import socket
import time
from pathlib import Path

import pytest
import requests

from harness import schema
from harness.boards.share import Fed
from tests.unit.simulate.conftest import NETWORK, PLACE, STORAGE, needs_bench
from tests.unit.simulate.virtual import Simulated, simulated

pytestmark = needs_bench
RELAY = f"http://{NETWORK}.2/relay/1/value"
DEVICE = Path("/sys/class/block", Path(STORAGE).name)


def heard(seconds: float, send: bytes = b"") -> bytes:
    """What comes on the serial line within that time."""
    with socket.create_connection((f"{NETWORK}.3", 2011), timeout=5) as line:
        line.settimeout(0.1)
        line.sendall(send)
        told = b""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                told += line.recv(4096)
        return told


def sectors() -> int:
    return int((DEVICE / "size").read_text())


def test_a_card_is_written_through_the_mux_and_booted(bench: Simulated, rack_lab: Path) -> None:
    """All of it with labgrid's own client: acquire, flash, power, and what the guest says."""
    bench.client("-p", PLACE, "acquire")
    try:
        assert sectors() == 0
        bench.client("-p", PLACE, "sd-mux", "host")
        assert sectors() * 512 == 8 << 20
        assert (DEVICE / "loop/backing_file").read_text().strip().endswith("/VCARD-77")
        bench.client("-p", PLACE, "write-image", str(rack_lab.parent / "disk.img"))
        bench.client("-p", PLACE, "sd-mux", "dut")
        assert sectors() == 0
        bench.client("-p", PLACE, "power", "on")
        assert b"xyz" in heard(2, b"xyz")
        bench.client("-p", PLACE, "power", "off")
        assert heard(1, b"xyz") == b""
    finally:
        bench.client("-p", PLACE, "release")


def test_the_line_has_the_speed_of_the_wire(bench: Simulated) -> None:
    requests.put(RELAY, data=b"1", timeout=10)
    try:
        heard(1)
        told = heard(2, b"e")  # digits without end
        assert 11520 * 1.2 < len(told) < 11520 * 2.2
    finally:
        requests.put(RELAY, data=b"0", timeout=10)
    assert requests.get(RELAY, timeout=10).text == "0"


def test_what_is_no_relay(bench: Simulated) -> None:
    assert requests.get(f"http://{NETWORK}.2/relay/9/value", timeout=10).status_code == 404
    assert requests.put(RELAY, data=b"2", timeout=10).status_code == 400


def test_the_host_tells_what_each_boot_of_a_board_got(bench: Simulated) -> None:
    share = f"http://{NETWORK}.2/share/{PLACE}"
    before = schema.from_json(Fed, requests.get(share, timeout=10).content, what="before")
    for value in (b"1", b"0"):
        requests.put(RELAY, data=value, timeout=10)
    after = schema.from_json(Fed, requests.get(share, timeout=10).content, what="after")
    assert len(after.boots) == len(before.boots) + 1
    assert after.boots[-1].ran > 0
    assert after.trouble == ""
    assert requests.get(f"{share}-2", timeout=10).status_code == 404


def test_planted_faults_are_there_and_can_be_healed(bench: Simulated) -> None:
    """Seen from outside, each with its control: without it, and healed."""
    assert requests.get(RELAY, timeout=5).text == "0"
    assert heard(0.1) == b""
    bench.harness("plant", "hung-pdu")
    bench.harness("plant", "adapter-gone")
    with pytest.raises(requests.Timeout):
        requests.get(RELAY, timeout=1)
    with pytest.raises(ConnectionRefusedError):
        heard(0.1)
    bench.harness("heal")
    assert requests.get(RELAY, timeout=5).text == "0"
    assert heard(0.1) == b""


def test_a_second_bench_at_the_same_addresses_is_told_so(bench: Simulated) -> None:
    with (
        pytest.raises(AssertionError, match=f"virtual bench {NETWORK} is in use"),
        simulated(bench.lab),
    ):
        pass
