"""Reading data: strict, once only, and within bounds before anything is built."""

import time

import pytest

from harness import schema
from harness.errors import ConfigurationError

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


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":1,"a":2}', "", "9" * 5000, b"\xff", "[1"])
def test_json_is_refused_and_names_the_file(text: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^f\.json: not usable JSON"):
        schema.json_data(text, what="f.json")
