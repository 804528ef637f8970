"""One law for whatever the harness is given: an exit code that says who acts, one line that names
the file, no traceback, no hang.

How long the search for what breaks it takes: `HARNESS_FUZZ_SECONDS` for all searches together (the
nightly's), a few examples each without it.
"""

import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis.strategies import SearchStrategy

from harness import cli
from tests.unit.bounds import bounded

CODES = {0, 2, 3, 4, 5}
EXAMPLES = 12  # of a search, without HARNESS_FUZZ_SECONDS
SHARES = 1  # how many searches share the time (conftest.py)

_QUIET = (hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large)


@dataclass(frozen=True)
class Told:
    """What a command came to."""

    words: tuple[str, ...]
    code: object
    out: str
    err: str


def harness(*words: str | Path) -> Told:
    """A command of the real command line, in this process: a start costs more than the rest."""
    texts = tuple(map(str, words))
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with _streams(out, err), bounded(), _arguments(texts):
            code: object = 0
            try:
                cli.main()
            except SystemExit as end:
                code = end.code or 0
        return Told(texts, code, _all(out), _all(err))


def require_lawful(told: Told, *names: str | Path) -> None:
    """The law; when it fails, one line must have one of the `names`, if there are any."""
    assert told.code in CODES, told
    assert "Traceback" not in told.err, told
    if told.code and names:
        assert any(str(name) in line for name in names for line in told.err.splitlines()), told


def search(strategy: SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Look for something in `strategy` that `check` fails for."""
    seconds = float(os.environ.get("HARNESS_FUZZ_SECONDS", "0"))
    end = time.monotonic() + seconds / SHARES
    number = 0
    while True:
        settings = hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=_QUIET,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        )
        one = hypothesis.seed(number)(settings(hypothesis.given(strategy)(check)))
        one()
        number += 1
        if time.monotonic() >= end:
            return


def _all(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read())


@contextlib.contextmanager
def _streams(out: Any, err: Any) -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        finally:
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)


@contextlib.contextmanager
def _arguments(words: tuple[str, ...]) -> Iterator[None]:
    before = sys.argv
    sys.argv = ["harness", *words]
    try:
        yield
    finally:
        sys.argv = before
