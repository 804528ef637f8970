"""The update server: how it answers when it is told to answer otherwise."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from harness.errors import LabError
from harness.faults.manners import Manner, ServerFault
from harness.updates.server import HEALTHY, UpdateServer

CONTENT = bytes(range(256)) * 1024


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[UpdateServer]:
    (tmp_path / "file").write_bytes(CONTENT)
    with UpdateServer() as server:
        server.add("update", tmp_path / "file")
        yield server


def ask(
    server: UpdateServer, name: str = "update", *, method: str = "GET", first: int = 0
) -> Answer:
    with contextlib.closing(http.client.HTTPConnection(*server.address, timeout=10)) as asking:
        asking.request(method, f"/{name}", headers={"Range": f"bytes={first}-"} if first else {})
        answer = asking.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


def test_as_usual(server: UpdateServer) -> None:
    whole, rest = ask(server), ask(server, first=1000)
    assert (whole.status, whole.body, bool(whole.headers["ETag"])) == (200, CONTENT, True)
    assert (rest.status, rest.body) == (206, CONTENT[1000:])
    assert ask(server, "health").body.decode() == HEALTHY


def test_it_listens_where_the_lab_says(tmp_path: Path) -> None:
    """And nowhere else: the same port of another address is free."""
    with UpdateServer(listen="127.0.0.2") as server:
        assert server.address == ("127.0.0.2", server.port)
        assert ask(server, "health").body.decode() == HEALTHY
        with socket.create_server(("127.0.0.1", server.port)):
            pass
    # An address that is kept for documentation (RFC 5737).
    with (
        pytest.raises(LabError, match=r"port 0 of 203\.0\.113\.1: ") as caught,
        UpdateServer(listen="203.0.113.1"),
    ):
        pass
    assert "options.listen" in caught.value.hint


def test_a_range_that_is_ignored(server: UpdateServer) -> None:
    server.behave(ServerFault(manner=Manner.NO_RANGES))
    answer = ask(server, first=1000)
    assert (answer.status, answer.body) == (200, CONTENT)


def test_nothing_says_which_file_it_is(server: UpdateServer) -> None:
    server.behave(ServerFault(manner=Manner.NO_ETAG))
    assert ask(server).headers["ETag"] is None


def test_nobody_is_told_how_long_it_is(server: UpdateServer) -> None:
    server.behave(ServerFault(manner=Manner.CHUNKED))
    answer = ask(server, first=1000)
    assert (answer.headers["Content-Length"], answer.body) == (None, CONTENT)


def test_the_file_is_elsewhere(server: UpdateServer) -> None:
    server.behave(ServerFault(manner=Manner.REDIRECT))
    answer = ask(server)
    assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere/update")
    assert ask(server, "elsewhere/update", first=1000).body == CONTENT[1000:]


def test_a_portal_answers_a_few_times(server: UpdateServer) -> None:
    server.behave(ServerFault.parse("server:portalx2"))
    assert [b"<html>" in ask(server).body for _ in range(3)] == [True, True, False]
    assert ask(server, "health").body.decode() == HEALTHY
    server.behave(None)
    assert ask(server).body == CONTENT


def test_somebody_else_answers_for_its_health(server: UpdateServer) -> None:
    server.be_ill(2)
    said = [ask(server, "health").body.decode() == HEALTHY for _ in range(3)]
    assert (said, server.is_well) == ([False, False, True], True)
    server.be_ill()
    assert ask(server, "health").body.decode() != HEALTHY
    server.be_ill(0)
    assert ask(server, "health").body.decode() == HEALTHY


@pytest.mark.parametrize(
    "text", ["server:", "server:gone", "server:no-etagx2", "portal", "server:portalx0"]
)
def test_what_is_no_manner_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="server:"):
        ServerFault.parse(text)


def test_another_file_takes_the_name_in_the_middle(server: UpdateServer) -> None:
    server.behave(ServerFault(manner=Manner.CHANGED))
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(server)
    half, quarter = len(CONTENT) // 2, len(CONTENT) // 4
    assert len(broken.value.partial) == half
    assert broken.value.partial[:quarter] == CONTENT[:quarter]
    assert broken.value.partial[quarter:] != CONTENT[quarter:half]
    again = ask(server)
    assert (again.body, again.headers["ETag"] != '"before"') == (CONTENT, True)


def test_a_range_of_another_file_for_whoever_asks(server: UpdateServer) -> None:
    """Once all of the file that had the name is there: its end was never told."""
    server.behave(ServerFault(manner=Manner.NO_IF_RANGE))
    quarter, half = len(CONTENT) // 4, len(CONTENT) // 2
    for first in (0, half):
        with pytest.raises(http.client.IncompleteRead) as broken:
            ask(server, first=first)
        other = broken.value.partial
        assert len(other) == len(CONTENT) - first
        assert other[quarter - len(CONTENT) :] != CONTENT[-len(other) :][quarter - len(CONTENT) :]
    answer = ask(server, first=len(CONTENT))
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")
    assert answer.headers["ETag"] is None
    assert (ask(server, first=half).body, ask(server).body) == (CONTENT[half:], CONTENT)


def test_a_portal_s_page_may_be_a_file(server: UpdateServer) -> None:
    server.behave(ServerFault.parse("server:portal-rangesx4"))
    whole, rest, behind = ask(server), ask(server, first=6), ask(server, first=1000)
    assert (whole.status, rest.status, behind.status) == (200, 206, 416)
    assert rest.body == whole.body[6:]
    assert behind.headers["Content-Range"] == f"bytes */{len(whole.body)}"
