"""The gateway's download against servers that give ranges in other ways that RFC 9110 allows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from harness.clients.rauc import RaucClient
from tests.unit.clients.board import LocalBoard
from tests.unit.clients.test_device_scripts import BUNDLE, ship

TAG = '"one"'


class Ranges(BaseHTTPRequestHandler):
    """`short`: of a range so many bytes at most. What lies behind the end gets 416, with `behind`;
    nothing there: without a word of how long the file is, or which."""

    protocol_version = "HTTP/1.1"
    short = len(BUNDLE)
    broken = 0  # answers that end after a million bytes
    behind: ClassVar[dict[str, str]] = {}
    file: ClassVar[dict[str, bytes]] = {TAG: BUNDLE}  # by its ETag; If-Range is ignored
    asked: list[str]

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """Answer."""
        asked = self.headers.get("Range", "")
        self.asked.append(asked)
        [(tag, content)] = self.file.items()
        begin, _, last = asked.removeprefix("bytes=").partition("-")
        first = int(begin or 0)
        end = min(int(last or len(BUNDLE) - 1) + 1, len(BUNDLE), first + type(self).short)
        if first >= len(BUNDLE):
            self._send(416, b"<Error>InvalidRange</Error>", self.behind)
        elif asked:
            told = f"bytes {first}-{end - 1}/{len(BUNDLE)}"
            self._send(206, content[first:end], {"Content-Range": told, "ETag": tag})
        else:
            self._send(200, content, {"ETag": tag})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if type(self).broken and status == 200:
            type(self).broken -= 1
            body, self.close_connection = body[:1_000_000], True
        self.wfile.write(body)


@contextmanager
def served(
    *,
    short: int = len(BUNDLE),
    broken: int = 0,
    behind: dict[str, str] | None = None,
    file: dict[str, bytes] | None = None,
) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    how = {"short": short, "broken": broken, "asked": asked}
    how |= {"behind": behind or {}, "file": file if file is not None else {TAG: BUNDLE}}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Ranges,), how)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/update.raucb", asked
        server.shutdown()


@pytest.fixture
def board(tmp_path: Path) -> LocalBoard:
    board = LocalBoard(tmp_path)
    ship(board)
    board.environment["GATEWAY_UPDATE_TRIES"] = "3"
    (tmp_path / "bundle").write_bytes(BUNDLE)
    return board


@pytest.fixture
def client(board: LocalBoard) -> RaucClient:
    return RaucClient(board)


def test_what_is_whole_is_not_downloaded_again(client: RaucClient, board: LocalBoard) -> None:
    with served() as (url, asked):
        assert client.install(url, timeout=60).ok
        board.run("boot-selection reject B", timeout=5)
        assert client.install(url, timeout=60).ok
    assert asked == ["", f"bytes={len(BUNDLE)}-", "bytes=0-511"]


@pytest.mark.parametrize("more", [b"!", b"!" * 1_000_000], ids=["one", "many"])
def test_what_is_longer_than_the_file_is_left(
    client: RaucClient, board: LocalBoard, more: bytes
) -> None:
    with served(broken=1) as (url, _):
        board.environment["GATEWAY_UPDATE_TRIES"] = "1"
        assert not client.install(url, timeout=60).ok
        board.environment["GATEWAY_UPDATE_TRIES"] = "3"
        [part] = (board.root / "data/updates").glob("*.part")
        part.write_bytes(BUNDLE + more)
        assert client.install(url, timeout=60).ok


def test_a_server_may_send_less_than_it_was_asked_for(client: RaucClient) -> None:
    with served(short=300_000, broken=1) as (url, asked):
        assert client.install(url, timeout=60).ok
    assert asked == ["", *(f"bytes={first}-" for first in range(1_000_000, len(BUNDLE), 300_000))]


LENGTH = {"Content-Range": f"bytes */{len(BUNDLE)}"}


@pytest.mark.parametrize("behind", [LENGTH, {**LENGTH, "ETag": '"two"'}], ids=["", "other-tag"])
def test_of_another_file_of_that_length_no_old_byte_is_installed(
    client: RaucClient, board: LocalBoard, behind: dict[str, str]
) -> None:
    """A server that ignores If-Range says that nothing comes after that many bytes: of its file."""
    file = {TAG: BUNDLE}
    with served(behind=behind, file=file) as (url, asked):
        assert client.install(url, timeout=60).ok
        board.run("boot-selection reject B", timeout=5)
        other = BUNDLE[:4] + BUNDLE[:3:-1]
        file.clear()
        file['"two"'] = other
        (board.root / "bundle").write_bytes(other)
        assert client.install(url, timeout=60).ok
    assert asked == ["", f"bytes={len(BUNDLE)}-", "bytes=0-511", ""]


def test_who_says_which_file_it_is_need_not_be_asked(client: RaucClient, board: LocalBoard) -> None:
    with served(behind={**LENGTH, "ETag": TAG}) as (url, asked):
        assert client.install(url, timeout=60).ok
        board.run("boot-selection reject B", timeout=5)
        assert client.install(url, timeout=60).ok
    assert asked == ["", f"bytes={len(BUNDLE)}-"]
