"""Reading data: strict, once only, and within bounds before anything is built."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from pydantic import ConfigDict, Field

from harness import schema
from harness.errors import ConfigurationError
from harness.fields import ExistingFile, MiB, Name, OneOf

_BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
BAD_YAML = {
    "aliases of aliases": _BOMB,
    "an alias of what it is in": "a: &a [*a]",
    "deep lists": "[" * 5000,
    "deep mappings": "{a: " * 5000,
    "deep blocks": "? " * 5000,
    "many values": "- x\n" * 30_000,
    "large": "#" * (1 << 20),
    "a key twice": "a: 1\na: 2",
    "a key twice, below": "a:\n  b:\n  - {c: 1, c: 1}",
    "a key in two spellings": "yes: 1\ntrue: 2",
    "an integer that is none": '!!int ""',
    "a truth that is none": "!!bool x",
    "a time that is none": "!!timestamp x",
    "a date that is none": "a: 2020-99-99",
    "too many digits": "a: " + "9" * 9000,
    "a number of base 60": "a: " + ":".join("1" * 300) + ".5",
    "a program": "!!python/object/apply:os.getcwd []",
    "a list as key": "? [a]\n: b",
    "a set": "!!set {a, b}",
    "a date": "a: 2020-01-01",
    "control characters": "a: \0",
    "two documents": "a: 1\n---\nb: 1",
}


@pytest.mark.parametrize("kind", BAD_YAML)
def test_yaml_is_refused_at_once_and_names_the_file(kind: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigurationError) as caught:
        schema.from_yaml(dict, BAD_YAML[kind], what="policy.yaml")
    assert caught.value.brief.startswith("policy.yaml: ")
    assert time.process_time() - began < 2


def test_aliases_and_merges_of_a_reasonable_size_are_read() -> None:
    text = "a: &a {x: 1}\nb: *a\nc: {<<: *a, x: 2}"
    expected = {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 2}}
    assert schema.yaml_data(text, what="f") == expected


def test_a_key_of_json_is_there_once() -> None:
    with pytest.raises(ConfigurationError, match=r"^f\.json: not usable JSON\n.*occurs twice"):
        schema.from_json(dict[str, int], '{"a": 1, "b": 2, "a": 1}', what="f.json")


@dataclass(frozen=True, kw_only=True)
class Leaf:
    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    name: Name
    size: MiB = 1
    odd: Annotated[str, OneOf(lambda: ("left", "right"))] = "left"


@dataclass(frozen=True, kw_only=True)
class Tree:
    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    leaves: dict[Name, Leaf]
    more: tuple[Leaf, ...] = ()
    other: Leaf | None = None
    u_boot: Annotated[ExistingFile | None, Field(alias="u-boot")] = None
    count: int = 0


BAD_TREE = """
leaves: {a: {name: "x y", colour: red}, b: [], "c d": {name: c}, e: {}}
more: [{name: a, size: 1.5M, odd: up}, {name: a, sizes: 1}]
other: {nme: a, size: 100K}
u-boot: nowhere
count: 1.0
trunk: 1
"""
TOLD = """\
leaves.a.name: 'x y' does not match [a-z0-9][a-z0-9-]{0,62}
leaves.a.colour: unknown key (known here: name, odd, size)
leaves.b: must be a mapping of keys
leaves.c d: 'c d' does not match [a-z0-9][a-z0-9-]{0,62}
leaves.e.name: missing
more.0.size: '1.5M' does not match [0-9]{1,12}[KMG]?
more.0.odd: 'up' is not one of left, right
more.1.sizes: unknown key (known here: name, odd, size)
other.name: missing
other.size: '100K' is not a whole number of MiB
other.nme: unknown key (known here: name, odd, size)
u-boot: there is no file /var/empty/nowhere
count: must be a whole number
trunk: unknown key (known here: count, leaves, more, other, u-boot)"""


def test_all_that_is_wrong_is_told_by_its_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        schema.from_yaml(Tree, BAD_TREE, what="t.yaml", context=Path("/var/empty"))
    assert caught.value.brief == "t.yaml: 14 problems"
    assert caught.value.details == "\n".join(f"  - {line}" for line in TOLD.splitlines())


def test_of_many_problems_some_are_told() -> None:
    leaves: dict[str, object] = {f"x{n}": {} for n in range(30)}
    with pytest.raises(ConfigurationError, match=r"  - and 10 more$"):
        schema.from_json(Tree, json.dumps({"leaves": leaves}), what="t.json")


def test_a_wrong_value_begins_no_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        schema.from_json(Tree, json.dumps({"leaves": {"a\nb: x": {"name": "c\nd"}}}), what="t")
    assert len(caught.value.details.splitlines()) == 2


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":1,"a":2}', "", "9" * 5000, b"\xff", "[1"])
def test_json_is_refused_and_names_the_file(text: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^f\.json: not usable JSON"):
        schema.json_data(text, what="f.json")
