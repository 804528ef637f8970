"""What is read from files: strict, all problems at once, within bounds, never a traceback.

pydantic does the checking of dataclasses. Nothing is coerced (a version written as the number 1.10
is an error, not the text "1.1"), no key is unknown or there twice, no number is outside of what
anything can have. How deep and how large YAML is, with all of its aliases, is known before it is
built.
"""

import json
import math
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import pydantic_core
import yaml
from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from harness import files
from harness.errors import ConfigurationError

__all__ = [
    "STRICT",
    "YAML_LIMIT",
    "AwareDatetime",
    "Count",
    "Seconds",
    "Sha256",
    "from_json",
    "from_yaml",
    "json_data",
    "require_bounded",
    "to_bytes",
    "to_data",
    "yaml_data",
]

if TYPE_CHECKING:
    from yaml import SafeLoader as _Loader
else:  # the parser in C is a hundred times as fast; PyYAML can be built without it
    _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

T = TypeVar("T")

# Every dataclass that is read from a file carries this as `__pydantic_config__`.
STRICT = ConfigDict(strict=True, extra="forbid")
YAML_LIMIT = 128 << 10  # bytes of a file that a person writes
_DEPTH = 32
_NODES = 20_000  # of YAML, each alias counted as what it stands for
_SHOWN = 20  # problems of one file

_readers: dict[Any, TypeAdapter[Any]] = {}

Count = Annotated[int, Field(ge=0, lt=1 << 48)]
Seconds = Annotated[float, Field(ge=0, lt=math.inf)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def from_json(
    kind: type[T], text: str | bytes, *, what: str | Path, hint: str = "", context: Any = None
) -> T:
    """Read a `kind` from JSON; `what` names the file in errors. Raises ConfigurationError."""
    try:
        if kind not in _readers:
            _readers[kind] = TypeAdapter(kind)  # takes milliseconds each time
        found: T = _readers[kind].validate_json(text, context=context)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, found['loc'])) or 'the file'}: {found['msg']}"
            for found in error.errors(include_url=False, include_input=False)[:_SHOWN]
        ]
        raise ConfigurationError.of(files.shown(what), problems, hint=hint) from error
    return found


def from_yaml(
    kind: type[T], text: str, *, what: str | Path, hint: str = "", tags: bool = False
) -> T:
    """Read a `kind` from YAML. Raises ConfigurationError."""
    data = yaml_data(text, what=what, hint=hint, tags=tags)
    try:
        as_json = json.dumps(data)
    except (TypeError, ValueError) as error:
        raise _unusable(what, "YAML", error, hint) from error
    return from_json(kind, as_json, what=what, hint=hint)


def json_data(text: str | bytes, *, what: str | Path, hint: str = "") -> Any:
    """The plain data of JSON, in which no key is there twice. Raises ConfigurationError."""
    try:
        pydantic_core.from_json(text)  # refuses what is too deep to be worked with
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _unusable(what, "JSON", error, hint) from error


def yaml_data(text: str, *, what: str | Path, hint: str = "", tags: bool = False) -> Any:
    """The plain data of YAML, in which no key is there twice; with `tags`, what another reader
    gives a meaning (`!template`) is left as it is written. Raises ConfigurationError."""
    try:
        require_bounded(text)
        # A YAML parser subclassed from SafeLoader makes plain data only.
        return yaml.load(text, _TaggedLoader if tags else _OnceLoader)  # noqa: S506
    # The others are PyYAML's own words for a tag on what it does not fit: `!!int ""`, `!!bool x`.
    # And ArithmeticError: a number of base 60 with too many digits, `1:1:1:...`.
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
    ) as error:
        raise _unusable(what, "YAML", error, hint) from error


def require_bounded(text: str) -> None:
    """ValueError or YAMLError unless the YAML is small enough to be built; builds nothing."""
    if len(text.encode(errors="replace")) > YAML_LIMIT:
        raise ValueError(f"larger than {YAML_LIMIT:,} bytes")
    sizes: dict[str, int] = {}  # anchor -> nodes
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"alias *{event.anchor} stands for what it is in, or for nothing")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.NodeEvent):
            total += 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, total))
            elif event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = total - before + 1
        if len(open_nodes) > _DEPTH or total > _NODES:
            raise ValueError(f"deeper than {_DEPTH} levels, or more than {_NODES:,} values")


def to_data(value: Any) -> Any:
    """The plain JSON data of a dataclass (lists, dicts, strings; times as ISO 8601)."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def to_bytes(data: Any) -> bytes:
    """JSON with one spelling for the same data: sorted keys, two spaces, a final newline."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _unusable(what: str | Path, kind: str, error: Exception, hint: str) -> ConfigurationError:
    details = str(error) if isinstance(error, yaml.YAMLError | ValueError) else repr(error)
    return ConfigurationError(f"{files.shown(what)}: not usable {kind}", details=details, hint=hint)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"a key occurs twice among {', '.join(sorted(found))[:200]}")
    return found


class _OnceLoader(_Loader):
    """SafeLoader that refuses a mapping with the same key twice (YAML 1.2, 3.2.1.3), also when
    it is spelled in two ways (`yes` and `true`, 1 and "1")."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            merge = key_node.tag.endswith(":merge")  # `<<`, which PyYAML expands
            key = "<<" if merge else str(self.construct_object(key_node, deep=True))
            if key in seen:
                raise yaml.YAMLError(f"key {key!r} occurs twice{key_node.start_mark}")
            seen.add(key)
        return super().construct_mapping(node, deep)


class _TaggedLoader(_OnceLoader):
    """Takes values with tags of others for what they are without."""

    def construct_tagged(self, _suffix: str, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return node.value


_TaggedLoader.add_multi_constructor("!", _TaggedLoader.construct_tagged)
