"""The proxy against real curl, the client that the image uses."""

import contextlib
import gc
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import DeviceError, LabError
from harness.faults.network import NetworkFault
from harness.process import Completed, run
from harness.updates.proxy import Proxy
from harness.updates.server import UpdateServer

SIZE = 3_000_001
CONTENT = random.Random(7).randbytes(SIZE)
NAME = "update.raucb"
RESET, PARTIAL, TIMEOUT, HTTP_ERROR = 56, 18, 28, 22  # exit codes, curl(1)


class Link:
    """Records when the cable was pulled and plugged."""

    def __init__(self) -> None:
        self.calls: list[tuple[bool, float]] = []

    def __call__(self, *, up: bool) -> None:
        self.calls.append((up, time.monotonic()))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[UpdateServer]:
    artifact = tmp_path / "served"
    artifact.write_bytes(CONTENT)
    with UpdateServer() as server:
        server.add(NAME, artifact)
        yield server


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def proxy(server: UpdateServer, link: Link) -> Iterator[Proxy]:
    with Proxy(server.address, link=link) as proxy:
        yield proxy


def curl(url: str, to: Path, *options: str) -> Completed:
    argv: list[str | Path] = ["curl", "-sS", "-f", "-C", "-", *options, "-o", to, url]
    return run(argv, timeout=20, check=False)


def sent(proxy: Proxy, total: int) -> list[int]:
    """Body bytes of each answer; the last ones are counted when curl may have them already."""
    end = time.monotonic() + 10
    while sum(each.sent for each in proxy.requests) < total and time.monotonic() < end:
        time.sleep(0.01)
    return [each.sent for each in proxy.requests]


def test_it_listens_where_the_lab_says(server: UpdateServer, tmp_path: Path) -> None:
    with Proxy(server.address, listen="127.0.0.2") as elsewhere:
        assert curl(elsewhere.url(NAME, host="127.0.0.2"), tmp_path / "got").returncode == 0
        assert curl(elsewhere.url(NAME), tmp_path / "other").returncode == 7  # refused
    with (
        pytest.raises(LabError, match=r"proxy: port 0 of 203\.0\.113\.1: ") as caught,
        Proxy(server.address, listen="203.0.113.1"),
    ):
        pass
    assert "options.listen" in caught.value.hint


def test_without_a_fault_nothing_strikes(proxy: Proxy, tmp_path: Path) -> None:
    assert curl(proxy.url(NAME), tmp_path / "got").returncode == 0
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert proxy.strikes == []
    assert not proxy.struck
    assert sent(proxy, SIZE) == [SIZE]
    assert [(r.path, r.range, r.status) for r in proxy.requests] == [(f"/{NAME}", "", 200)]


@pytest.mark.parametrize("at", [0, 1, 65536, 1_234_567, SIZE - 1])
@pytest.mark.parametrize(("kind", "code"), [("reset", RESET), ("close", PARTIAL)])
def test_a_broken_download_has_exactly_n_bytes_and_resumes(
    proxy: Proxy, tmp_path: Path, kind: str, code: int, at: int
) -> None:
    got = tmp_path / "got"
    proxy.arm(NetworkFault.parse(f"{kind}@{at}"))
    broken = curl(proxy.url(NAME), got)
    assert broken.returncode == code, broken
    assert ("reset by peer" in broken.stderr) == (kind == "reset")
    assert (got.stat().st_size if got.exists() else 0) == at
    strike = proxy.wait_strike(1)
    assert (strike.byte, strike.connection, strike.unacknowledged) == (at, 1, 0)

    assert curl(proxy.url(NAME), got).returncode == 0
    assert got.read_bytes() == CONTENT
    _, second = proxy.requests
    assert (sent(proxy, SIZE), second.first) == ([at, SIZE - at], at)
    assert second.range == (f"bytes={at}-" if at else "")
    assert len(proxy.strikes) == 1


def test_a_reset_waits_until_a_slow_reader_has_every_byte(proxy: Proxy) -> None:
    proxy.arm(NetworkFault.parse("reset@2000000"))
    got = bytearray()
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", proxy.port))
        reader.sendall(f"GET /{NAME} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.3)  # the slow reader: buffers fill up, the proxy comes to a stop
        with pytest.raises(ConnectionResetError):
            while True:
                got += reader.recv(16 * 1024)
    _, _, body = bytes(got).partition(b"\r\n\r\n")
    assert body == CONTENT[:2_000_000]


def test_reset_as_often_as_asked(proxy: Proxy, tmp_path: Path) -> None:
    proxy.arm(NetworkFault.parse("reset@1000x3"))
    codes = [curl(proxy.url(NAME), tmp_path / "got").returncode for _ in range(4)]
    assert codes == [RESET, RESET, RESET, 0]
    assert sent(proxy, SIZE) == [1000, 0, 0, SIZE - 1000]
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_faults_strike_one_after_the_other(proxy: Proxy, tmp_path: Path) -> None:
    proxy.arm(*map(NetworkFault.parse, ["reset@1000x2", "status:503", f"flip@{SIZE - 1}"]))
    got = tmp_path / "got"
    codes = []
    for left in range(4, 0, -1):
        assert not proxy.struck, left
        codes.append(curl(proxy.url(NAME), got).returncode)
    assert codes == [RESET, RESET, HTTP_ERROR, 0]
    assert proxy.struck
    assert [each.fault for each in proxy.strikes][2:] == ["status:503", f"flip@{SIZE - 1}"]
    assert got.read_bytes()[:-1] == CONTENT[:-1]
    assert got.read_bytes()[-1] != CONTENT[-1]
    assert curl(proxy.url(NAME), tmp_path / "again").returncode == 0
    assert (tmp_path / "again").read_bytes() == CONTENT


def test_what_has_no_end_is_there_all_through(proxy: Proxy, tmp_path: Path) -> None:
    proxy.arm(*map(NetworkFault.parse, ["rate:2M", "flip@10", "flip@12", "reset@70000"]))
    got = tmp_path / "got"
    assert curl(proxy.url(NAME), got).returncode == RESET
    assert [each.fault for each in proxy.strikes] == [
        "flip@10",
        "flip@12",
        "reset@70000",
        "rate:2M",  # it is known at the end of a transfer whether that was slowed down
    ]
    assert (proxy.struck, proxy.done, proxy.met[-1]) == (True, 3, "rate:2M")
    assert [i for i, byte in enumerate(got.read_bytes()[:20]) if byte != CONTENT[i]] == [10, 12]


@pytest.mark.parametrize("at", [0, 65535, 65536, 2_000_000, SIZE - 1])
@pytest.mark.parametrize("resumed_from", [0, 65000])
def test_flip_changes_exactly_one_byte_of_the_artifact(
    proxy: Proxy, tmp_path: Path, at: int, resumed_from: int
) -> None:
    got = tmp_path / "got"
    got.write_bytes(CONTENT[:resumed_from])
    proxy.arm(NetworkFault.parse(f"flip@{at}"))
    assert curl(proxy.url(NAME), got).returncode == 0
    content = got.read_bytes()
    assert len(content) == SIZE
    differing = [i for i in range(SIZE) if content[i] != CONTENT[i]]
    expected = [at] if at >= resumed_from else []
    assert differing == expected
    assert proxy.struck == bool(expected)


def test_stall_ends_by_the_clients_own_timeout(proxy: Proxy, tmp_path: Path) -> None:
    got = tmp_path / "got"
    proxy.arm(NetworkFault.parse("stall@70000"))
    stalled = curl(proxy.url(NAME), got, "--max-time", "0.5")
    assert stalled.returncode == TIMEOUT, stalled
    assert got.stat().st_size == 70000
    assert curl(proxy.url(NAME), got).returncode == 0
    assert got.read_bytes() == CONTENT


def test_a_stalled_connection_does_not_outlive_the_proxy(server: UpdateServer) -> None:
    with Proxy(server.address) as proxy:
        proxy.arm(NetworkFault.parse("stall@5"))
        run(["curl", "-sS", "-m", "0.3", proxy.url(NAME)], timeout=5, check=False)
        began = time.monotonic()
    assert time.monotonic() - began < 2


def test_503_three_times_then_success(proxy: Proxy, tmp_path: Path) -> None:
    proxy.arm(NetworkFault.parse("status:503x3"))
    codes = [curl(proxy.url(NAME), tmp_path / "got").returncode for _ in range(4)]
    assert codes == [HTTP_ERROR, HTTP_ERROR, HTTP_ERROR, 0]
    assert [r.status for r in proxy.requests] == [503, 503, 503, 200]
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_health_is_spared(proxy: Proxy) -> None:
    proxy.arm(NetworkFault.parse("status:503"))
    assert run(["curl", "-fsS", proxy.url("health")], timeout=5).stdout == "ok\n"
    assert not proxy.struck


def test_a_fault_beyond_the_end_is_reported_as_not_struck(proxy: Proxy, tmp_path: Path) -> None:
    proxy.arm(NetworkFault.parse(f"reset@{SIZE}"))
    assert curl(proxy.url(NAME), tmp_path / "got").returncode == 0
    assert not proxy.struck
    with pytest.raises(DeviceError, match=f"reset@{SIZE} has not struck"):
        proxy.wait_strike(0.01)


def test_link_goes_down_and_comes_up_again(proxy: Proxy, link: Link, tmp_path: Path) -> None:
    proxy.arm(NetworkFault.parse("link-down@100000:200ms"))
    assert curl(proxy.url(NAME), tmp_path / "got").returncode == 0
    proxy.wait_strike(1)
    proxy.wait_link_up(2)
    assert [up for up, _ in link.calls] == [False, True]
    assert link.calls[1][1] - link.calls[0][1] >= 0.2
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_link_comes_up_even_when_the_scenario_fails(server: UpdateServer, link: Link) -> None:
    def scenario() -> None:
        with Proxy(server.address, link=link) as proxy:
            proxy.arm(NetworkFault.parse("link-down@5:60s"))
            run(["curl", "-sS", "-o", "/dev/null", proxy.url(NAME)], timeout=5)
            raise DeviceError("the scenario fails")

    with pytest.raises(DeviceError, match="the scenario fails"):
        scenario()
    assert [up for up, _ in link.calls] == [False, True]


def test_a_weak_network_is_slow(proxy: Proxy, server: UpdateServer, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(bytes(20_000))
    server.add("small", small)
    seconds = []
    for fault in ("rate:40000", "delay:150ms"):
        proxy.arm(NetworkFault.parse(fault))
        began = time.monotonic()
        run(["curl", "-fsS", "-o", tmp_path / fault, proxy.url("small")], timeout=5)
        seconds.append(time.monotonic() - began)
        assert proxy.struck
        assert (tmp_path / fault).read_bytes() == bytes(20_000)
    assert 0.45 < seconds[0] < 2
    assert 0.3 <= seconds[1] < 2


def test_a_rate_that_the_network_does_not_reach_has_not_struck(
    proxy: Proxy, tmp_path: Path
) -> None:
    """Nothing is slowed down by 2 MB/s where a quarter of that comes through."""
    for limit, struck in (("500k", False), ("100M", True)):
        proxy.arm(NetworkFault.parse("rate:2M"))
        run(
            ["curl", "-fsS", "--limit-rate", limit, "-o", tmp_path / "got", proxy.url(NAME)],
            timeout=30,
        )
        assert (tmp_path / "got").read_bytes() == CONTENT
        assert proxy.struck is struck


def test_keep_alive_carries_several_requests(proxy: Proxy, tmp_path: Path) -> None:
    proxy.arm(NetworkFault.parse("flip@10"))
    a, b = tmp_path / "a", tmp_path / "b"
    run(["curl", "-fsS", "-o", a, proxy.url(NAME), "-o", b, proxy.url(NAME)], timeout=10)
    assert [r.connection for r in proxy.requests] == [1, 1]
    assert a.read_bytes() != CONTENT
    assert b.read_bytes() == CONTENT


def test_a_dead_server_is_seen_as_a_broken_connection(tmp_path: Path) -> None:
    with UpdateServer() as server:
        gone = server.address
    with Proxy(gone) as proxy:
        assert curl(proxy.url(NAME), tmp_path / "got").returncode != 0
        assert proxy.requests == []


def test_the_server_logs_what_was_asked(server: UpdateServer, tmp_path: Path) -> None:
    assert curl(server.url("nothing"), tmp_path / "x").returncode == HTTP_ERROR
    got = tmp_path / "got"
    got.write_bytes(CONTENT[:10])
    assert curl(server.url(NAME), got).returncode == 0
    assert [(s.path, s.range, s.status, s.length) for s in server.log] == [
        ("/nothing", "", 404, 13),
        (f"/{NAME}", "bytes=10-", 206, SIZE - 10),
    ]


MALFORMED = {
    "no words": b"GARBAGE\r\n\r\n",
    "nothing": b"\r\n\r\n",
    "a length that is none": b"GET /x HTTP/1.1\r\nContent-Length: many\r\n\r\n",
    "a length below nothing": b"GET /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a long length": b"GET /x HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "headers without an end": b"GET /x HTTP/1.1\r\nX: " + b"x" * 200_000,
    "bytes": bytes(range(256)) * 4 + b"\r\n\r\n",
    "a range of bytes": b"GET /x HTTP/1.1\r\nRange: \xff\xfe\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_request_ends_its_connection_and_nothing_else(
    server: UpdateServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    with Proxy(server.address) as proxy:
        _say(proxy.port, MALFORMED[kind])
        assert curl(proxy.url(NAME), tmp_path / "got").returncode == 0
    gc.collect()
    assert [each for each in caplog.records if each.name == "asyncio"] == []
    assert all(isinstance(each.range, str) for each in proxy.requests)


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 206 x\r\nContent-Length: 1\r\nContent-Range: \xff\r\n\r\nx",
    ],
)
def test_a_malformed_answer_ends_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        with Proxy(listening.getsockname()[:2]) as proxy:
            thread = threading.Thread(target=_answer_once, args=[listening, answer])
            thread.start()
            curl(proxy.url(NAME), tmp_path / "got")
            thread.join(20)
    gc.collect()
    assert [each for each in caplog.records if each.name == "asyncio"] == []


def _say(port: int, request: bytes) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as board,
        contextlib.suppress(OSError),  # it may have been closed, by either end, at any time
    ):
        board.sendall(request)
        board.shutdown(socket.SHUT_WR)
        while board.recv(65536):
            pass


def _answer_once(listening: socket.socket, answer: bytes) -> None:
    with listening.accept()[0] as connection:
        connection.recv(65536)
        connection.sendall(answer)
