"""What can be wrong with a file: its bytes, its data, its keys, or that it is no file at all."""

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**10, 10**40, 0.5, float("nan"), 1e308),
    *("", " ", "x", "0", "-", "..", "/", "~", "../../etc/passwd", "/dev/zero", "\0", "\x1b[2J"),
    *("a\nb: [", "a\n[image.x]\nfilename=y", "é\u202e", "x" * 300, "9" * 5000, "2026-01-01"),
    *([], {}, [[]], [{}], {"": ""}, [None], ["x", "x"]),
)
WHOLE = (
    *(b"", b"\0" * 99, b"\xff\xfe", b"null", b"[]", b"{}", b"1", b'"x"', b"[" * 100_000),
    *(b'{"a":' * 50_000, b"- " * 60_000, b"9" * 5000, b"a: 1\na: 2", b'{"a":1,"a":2}'),
    *(BOMB.encode(), b"&a [*a]", b"!!python/object/apply:os.getcwd []", b'!!int ""', b"#" * 2**20),
)
Place = Callable[[Path], None]


@st.composite
def damaged(draw: DrawFn, content: bytes) -> Place:
    """Puts something in place of a file that holds `content` (JSON or YAML)."""
    if draw(st.integers(0, 6)) == 0:
        return draw(st.sampled_from(KINDS))
    return written(draw(contents(content)))


@st.composite
def contents(draw: DrawFn, content: bytes) -> bytes:
    """Other content of a file that holds `content`."""
    how = draw(st.sampled_from(("data", "data", "data", "bytes", "bytes", "whole")))
    if how == "whole":
        return draw(st.sampled_from(WHOLE))
    return draw(_changed(content) if how == "data" else _bytes(content))


@st.composite
def _bytes(draw: DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    gone = draw(st.sampled_from((0, 1, 8, 4096)))
    return content[:at] + draw(st.binary(max_size=8)) + content[at + gone :]


@st.composite
def _changed(draw: DrawFn, content: bytes) -> bytes:
    """The same data with up to three other values, keys, or none in their place."""
    write: Callable[[Any], str] = json.dumps
    try:
        data = json.loads(content)
    except ValueError:
        data, write = yaml.safe_load(content), yaml.safe_dump
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 3))):
        data = draw(_one_change(data))
    return write(data).encode()


@st.composite
def _one_change(draw: DrawFn, data: Any) -> Any:
    inner = isinstance(data, dict | list) and len(data) > 0
    if not inner or draw(st.integers(0, 9)) == 0:
        return copy.deepcopy(draw(st.sampled_from(VALUES)))  # a later change must not be of VALUES
    at = draw(
        st.sampled_from(sorted(data, key=str) if isinstance(data, dict) else range(len(data)))
    )
    how = draw(st.sampled_from(("below", "below", "below", "remove", "rename")))
    if how == "below":
        data[at] = draw(_one_change(data[at]))
    elif how == "remove" or isinstance(data, list):
        del data[at]
    else:
        data[str(draw(st.sampled_from(VALUES)))[:400]] = data.pop(at)
    return data


def written(content: bytes) -> Place:
    """A file with other content."""

    def place(file: Path) -> None:
        clear(file)
        file.write_bytes(content)

    return place


def clear(file: Path) -> None:
    """Nothing is there."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)


def _folder(file: Path) -> None:
    clear(file)
    file.mkdir()


def _fifo(file: Path) -> None:
    clear(file)
    os.mkfifo(file)


def _loop(file: Path) -> None:
    clear(file)
    file.symlink_to(file.name)


def _endless(file: Path) -> None:
    clear(file)
    file.symlink_to("/dev/zero")


def _huge(file: Path) -> None:
    clear(file)
    file.touch()
    os.truncate(file, 1 << 40)


KINDS: tuple[Place, ...] = (clear, _folder, _fifo, _loop, _endless, _huge)


def kinds() -> SearchStrategy[Place]:
    """Puts something that is no good in place of any file or folder."""
    return st.sampled_from((*KINDS, written(b"x")))
