"""Texts of others: no credential and no escape sequence of them gets to a terminal or a file."""

import io
import json
import logging
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import log, progress
from harness.commands import terminal
from harness.errors import ConfigurationError
from harness.plain import one_line, plain

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u2028x\x00\x7f\x08"
URL = "http://ci:TOKEN@host/releases.git"


SECRETS = [
    *("TOKEN", "TO/KEN", "TO#KEN", "TO?KEN", "TO KEN", "TO@KEN", "TO:KEN", "/KEN", "TO\tKEN"),
    *("12/KEN", "TO'KEN", 'TO"KEN', "@KEN", "TO@/KEN", "443KEN", "KEN/+=="),
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("around", ["%s", "fatal: unable to access '%s': it said no", "a %s\nb"])
def test_a_password_that_nobody_encoded(secret: str, around: str) -> None:
    for url in (f"https://ci:{secret}@host:8443/r.git", f"ssh://ci:{secret}@host/r.git"):
        told = plain(around % url)
        assert "KEN" not in told and "***@host" in told, told
        assert plain(told) == told


@pytest.mark.parametrize(
    "text",
    [
        "https://host/r.git and https://host:8443/r.git?ref=main&page=2#top",
        "http://127.0.0.1:8080/r.git: asked by root@gateway, see docs@example.com",
        "cannot read 'http://127.0.0.1:8080': ada@example.com knows",
        "http://[::1]:8080/r.git of root@gateway: it said no",
        "git@host:releases.git, ssh://git@host:22/r.git, host:path/r.git",
        "/srv/a@b/r.git, ./x@1.0, file:///srv/a@b/r.git, https://host/@scope/name@1.0",
        "power-cut[write:50%/some:7] at 12:30:05 by ada@example.com: done",
        "nbd://127.0.0.1:10809, https://host: no such host",
        "/srv/x:y@z:/r.git",
        "authorization: failed, token: none, a keyed-token of https://host/r.git?path=x",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ci:TOKEN@host:/r.git", "***@host:/r.git"),
        ("ci:TO/KEN@host:r.git'", "***@host:r.git'"),
        ("'ci:TO@KEN@[::1]:r.git'", "'***@[::1]:r.git'"),
        ("ci:TOKEN@host/r.git", "***@host/r.git"),  # a URL that has lost its scheme
        (
            "could not read Username for 'http://ci:TOK': no",
            "could not read Username for 'http://ci:***': no",
        ),
        ("https://h/r?private_token=TOKEN", "https://h/r?private_token=***"),
        ("https://h/r?a=1&access_token=TOKEN&b=2#x", "https://h/r?a=1&access_token=***&b=2#x"),
        ("'https://h/r?Password=TOKEN': no", "'https://h/r?Password=***': no"),
        (
            "https://h/r?X-Amz-Signature=TOKEN;api_key=TOKEN",
            "https://h/r?X-Amz-Signature=***;api_key=***",
        ),
        ("https://h/r#id_token=TOKEN", "https://h/r#id_token=***"),
        ("https://h/r?pat=TOKEN&path=x", "https://h/r?pat=***&path=x"),
        ("> Authorization: Bearer TOKEN", "> Authorization: Bearer ***"),
        ("proxy-authorization:basic TOKEN==", "proxy-authorization:basic ***"),
        ("'PRIVATE-TOKEN: TOKEN' sent", "'PRIVATE-TOKEN: ***' sent"),
    ],
)
def test_secrets_elsewhere(text: str, expected: str) -> None:
    assert plain(text) == expected
    assert plain(expected) == expected


def test_a_long_text_is_read_in_one_go() -> None:
    """Control of what looks ahead: no text of others takes long."""
    began = time.process_time()
    for part in ("http://a:b ", "a.", "a:b ", "?key", "http://", "x@", "a:", "a@:b,"):
        plain(part * (50_000 // len(part)))
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (URL, "http://***@host/releases.git"),
        ("cannot clone 'https://TOKEN@host/x', see", "cannot clone 'https://***@host/x', see"),
        ("https://u:p@ss@host/x", "https://***@host/x"),
        ("SSH://git:TOKEN@host/x", "SSH://***@host/x"),
        ("ssh://git@host/x and git@host:x", "ssh://git@host/x and git@host:x"),
        ("https://host/a@b https://h?x@y", "https://host/a@b https://h?x@y"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("\x1b[31mred\x9b0m", "\\x1b[31mred\\x9b0m"),
        ("\u202eabc", "\\u202eabc"),
        ("ä ✓ \U0001f600", "ä ✓ \U0001f600"),
        ("\udcff", "\\udcff"),  # a byte of a name that is no UTF-8
    ],
)
def test_what_is_left_of_a_text(text: str, expected: str) -> None:
    assert plain(text) == expected
    assert plain(expected) == expected


def test_one_line_is_one_line() -> None:
    assert one_line("1.0\nEvidence: sha256:0") == "1.0\\nEvidence: sha256:0"
    assert len(one_line(EVIL + "a\rb\x0bc\x0cd\x1ce\x85f\u2029g\n").splitlines()) == 1


def harmless(text: str) -> bool:
    """Controls, formats, surrogates and separators are what a terminal acts on."""
    odd = {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return "TOKEN" not in text and odd <= {"\n", "\t"}


def test_errors_are_plain() -> None:
    error = ConfigurationError.of(URL + EVIL, [URL + EVIL], hint=URL + EVIL)
    assert harmless(str(error)), str(error)
    assert harmless(repr(error.args))


def test_events_are_plain_wherever_they_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Stored, shown as progress, and logged with --verbose."""
    file, stream = tmp_path / "events.jsonl", io.StringIO()
    caplog.set_level(logging.DEBUG)
    with (
        log.json_lines(file),
        progress.shown(Console(file=stream)),
        pytest.raises(ValueError),
        log.step("x", repo=[{URL: EVIL}], path=Path(EVIL[:-3])),
    ):
        raise ValueError(URL + EVIL)
    event = json.loads(file.read_text().splitlines()[-1])
    assert harmless(str(event["repo"][0])), event
    assert harmless(event["error"]), event
    assert harmless(stream.getvalue()), stream.getvalue()
    assert harmless(caplog.text), caplog.text


@pytest.mark.parametrize("as_table", [False, True])
def test_answers_are_plain(capsys: pytest.CaptureFixture[str], as_table: bool) -> None:
    table = Table("scenario", title=URL + EVIL)
    table.add_row(Text(EVIL + URL))
    terminal.show(table if as_table else URL + EVIL)
    terminal.tell("rpi4", URL + EVIL)
    said = capsys.readouterr()
    assert "\\x1b" in said.out and "\\x1b" in said.err
    assert harmless(said.out), said.out
    assert harmless(said.err), said.err


def test_answers_look_as_they_did(capsys: pytest.CaptureFixture[str]) -> None:
    """Control: what is harmless is printed unchanged, with its lines and its width."""
    table = Table("scenario", "verdict")
    table.add_row(Text("power-cut[write:50%/some:7]", style="red"), "new")
    terminal.show(table)
    told = capsys.readouterr().out
    Console(width=160, markup=False, highlight=False).print(table, soft_wrap=True)
    assert told == capsys.readouterr().out
    terminal.show("[bold] " + "x" * 300 + "\n\tend")
    assert capsys.readouterr().out.splitlines()[0] == "[bold] " + "x" * 300


@pytest.mark.parametrize("kind", ["HarnessError", "RuntimeError"])
def test_the_command_line_ends_plainly(kind: str) -> None:
    """Also a bug, whose traceback quotes anybody. In a process of its own: it sets signals."""
    code = (
        "import sys, harness.cli as cli\nfrom harness.errors import HarnessError\n"
        f"def broken(obj): raise {kind}({URL + EVIL!r})\n"
        "cli.app = broken\ncli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "\\x1b" in done.stderr
    assert harmless(done.stderr), done.stderr
