"""Strict JSON and YAML for frozen dataclasses: unknown keys refused, all problems at once.

pydantic does the checking; this module only fixes how strict it is and turns what it finds into
one ConfigurationError with the file and each key path. Nothing is coerced: a version written
as the number 1.10 is an error, not the text "1.1".
"""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import ConfigurationError

T = TypeVar("T")

# Every dataclass that is read from a file carries this as `__pydantic_config__`.
STRICT = ConfigDict(strict=True, extra="forbid")


def from_json(kind: type[T], text: str | bytes, *, what: str | Path) -> T:
    """Read a `kind` from JSON; `what` names the file in errors. Raises ConfigurationError."""
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        raise ConfigurationError.of(str(what), _problems(error)) from error


def from_yaml(kind: type[T], text: str, *, what: str | Path) -> T:
    """Read a `kind` from YAML, refusing keys that occur twice. Raises ConfigurationError."""
    try:
        # A YAML parser subclassed from SafeLoader makes plain data only.
        data = yaml.load(text, _OnceLoader)  # noqa: S506
        as_json = json.dumps(data)
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{what}: not usable YAML", details=str(error)) from error
    return from_json(kind, as_json, what=what)


def to_data(value: Any) -> Any:
    """The plain JSON data of a dataclass (lists, dicts, strings; times as ISO 8601)."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def to_bytes(data: Any) -> bytes:
    """JSON with one spelling for the same data: sorted keys, two spaces, a final newline."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _problems(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(part) for part in found['loc']) or 'the file'}: {found['msg']}"
        for found in error.errors(include_url=False)
    ]


class _OnceLoader(yaml.SafeLoader):
    """SafeLoader that refuses a mapping with the same key twice (YAML 1.2, 3.2.1.3)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.YAMLError(f"key {key!r} occurs twice{key_node.start_mark}")
            seen.add(key)
        return super().construct_mapping(node, deep)
