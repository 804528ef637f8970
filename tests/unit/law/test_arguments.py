"""The law, for the arguments of every command: whatever is given for any of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from harness.cli import app
from tests.unit.law.lawful import harness, require_lawful, search

VALUES = (
    *("", " ", "-", ".", "..", "/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "nope"),
    *("a/b", "x" * 300, "\x1b[2J", "\n", "ä", "\udcff", "*", "@", "@1", "../x", "0", "-1", "nan"),
    *("10000000000", "9" * 5000, "1/none", "1/some:1", "1/torn:1:9", "90s", "1e9h", "ci", "status"),
    "http://user:secret@127.0.0.1:1/x",
)


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not hasattr(command, "commands"):
        yield words
        return
    for name, inner in command.commands.items():
        yield from commands(inner, (*words, name))


ROOT: Any = typer.main.get_command(app)
ALL = list(commands(ROOT))


@st.composite
def lines(draw: DrawFn, words: tuple[str, ...]) -> list[str]:
    """A command line: every argument, some of the options, and nothing that means anything."""
    command = ROOT
    for word in words:
        command = command.commands[word]
    options: list[str] = []
    arguments: list[str] = []
    value = st.sampled_from(VALUES)
    for each in command.params:
        if each.param_type_name == "argument":
            arguments += draw(st.lists(value, min_size=2, max_size=3) if each.nargs < 0 else _one())
        elif each.name == "lab" or each.required or draw(st.integers(0, 2)) == 0:
            name = draw(st.sampled_from([*each.opts, *each.secondary_opts]))
            options += [name] if getattr(each, "is_flag", False) else [name, draw(value)]
    return [*words, *options, "--", *arguments]


def _one() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(VALUES), min_size=1, max_size=1)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_arguments(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    search(lines(words), lambda line: require_lawful(harness("-q", *line)))
