"""What is read from files: strict, all problems at once, within bounds, never a traceback.

pydantic does the checking of dataclasses, whose keys `harness.fields` knows. Nothing is coerced (a
version written as the number 1.10 is an error, not the text "1.1"), no key is unknown or there
twice, no number is outside of what anything can have. How deep and how large YAML is, with all of
its aliases, is known before it is built. The same dataclasses give the JSON Schema by which an
editor checks a file while it is written.
"""

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import pydantic_core
import yaml
from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, core_schema

from harness import files
from harness.errors import ConfigurationError
from harness.plain import one_line

__all__ = [
    "STRICT",
    "YAML_LIMIT",
    "AwareDatetime",
    "Count",
    "Seconds",
    "Sha256",
    "for_editors",
    "from_json",
    "from_yaml",
    "json_data",
    "require_bounded",
    "to_bytes",
    "to_data",
    "told",
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
_LETTERS = 80  # of a wrong value
# Parts of pydantic's paths that no file has: of a mapping's key, and of `Development`'s forms.
_UNSEEN = frozenset(("[key]", "[word]", "[other]"))

_readers: dict[Any, TypeAdapter[Any]] = {}

Count = Annotated[int, Field(ge=0, lt=1 << 48)]
Seconds = Annotated[float, Field(ge=0, lt=1 << 33)]  # of the epoch, too; with a date at either end
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def from_json(
    kind: type[T], text: str | bytes, *, what: str | Path, hint: str = "", context: Any = None
) -> T:
    """Read a `kind` from JSON; `what` names the file in errors. Raises ConfigurationError."""
    try:
        found: T = _reader(kind).validate_json(text, context=context)
    except ValidationError as error:
        problems = [_problem(kind, each) for each in error.errors(include_url=False)]
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ConfigurationError.of(
            files.shown(what), [*problems[:_SHOWN], *more], hint=hint
        ) from error
    json_data(text, what=what, hint=hint)
    return found


def from_yaml(
    kind: type[T],
    text: str,
    *,
    what: str | Path,
    hint: str = "",
    tags: bool = False,
    context: Any = None,
) -> T:
    """Read a `kind` from YAML. Raises ConfigurationError."""
    data = yaml_data(text, what=what, hint=hint, tags=tags)
    try:
        as_json = json.dumps(data)
    except (TypeError, ValueError) as error:
        raise _unusable(what, "YAML", error, hint) from error
    return from_json(kind, as_json, what=what, hint=hint, context=context)


def for_editors(kind: type, *, title: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what a file of that kind can hold."""
    found = _reader(kind).json_schema(mode="validation", schema_generator=_Generator)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": title}


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


def told(value: Any, kind: type) -> dict[str, Any]:
    """The plain JSON data of a file of that kind, by the names that its keys have there."""
    found: dict[str, Any] = _reader(kind).dump_python(value, mode="json", by_alias=True)
    return found


def to_bytes(data: Any) -> bytes:
    """JSON with one spelling for the same data: sorted keys, two spaces, a final newline."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


class _Generator(GenerateJsonSchema):
    """A text can be a file's name and the word `development`: any of the two, not one of them."""

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        found = super().tagged_union_schema(schema)
        return {**found, "anyOf": found.pop("oneOf")}


def _reader(kind: Any) -> TypeAdapter[Any]:
    if kind not in _readers:
        _readers[kind] = TypeAdapter(kind)  # takes milliseconds each time
    return _readers[kind]


def _problem(kind: type, found: ErrorDetails) -> str:
    """One line: the key's path, and what is wrong with it."""
    path = [str(part) for part in found["loc"] if part not in _UNSEEN]
    said = found["msg"]
    match found["type"]:
        case "missing":
            said = "missing"
        case "unexpected_keyword_argument" | "extra_forbidden":
            known = _known(kind, path[:-1])
            said = f"unknown key (known here: {', '.join(sorted(known))})"
        case "string_type":
            said = "must be text"
        case "string_pattern_mismatch":
            said = f"'{str(found['input'])[:_LETTERS]}' does not match {found['ctx']['pattern']}"
        case "int_type":
            said = "must be a whole number"
        case "list_type" | "tuple_type":
            said = "must be a list"
        case "dict_type" | "mapping_type" | "dataclass_type" | "dataclass_exact_type":
            said = "must be a mapping of keys"
    said = re.sub(r"^\w+ should ", "must ", said.removeprefix("Value error, "))
    return one_line(f"{'.'.join(path) or 'the file'}: {said}")


def _known(kind: type, path: Sequence[str]) -> Iterable[str]:
    """The keys that a mapping of a file can have."""
    try:
        top = for_editors(kind, title="")
    except PydanticInvalidForJsonSchema:  # of ours alone, which nobody writes by hand
        return ()
    places = [top]
    for part in path:
        places = [each for place in places for each in _inside(top, place, part)]
    return {key for place in _forms(top, places) for key in place.get("properties", ())}


def _inside(top: dict[str, Any], place: dict[str, Any], part: str) -> Iterator[dict[str, Any]]:
    for form in _forms(top, [place]):
        below = (
            form.get("properties", {}).get(part),
            form.get("additionalProperties"),
            form.get("items"),
            *form.get("patternProperties", {}).values(),
        )
        yield from (each for each in below if isinstance(each, dict))


def _forms(top: dict[str, Any], places: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What a place in a JSON Schema stands for, each of several."""
    for place in places:
        others = [*place.get("anyOf", ())]
        if "$ref" in place:
            others.append(top["$defs"][place["$ref"].rpartition("/")[2]])
        yield place
        yield from _forms(top, others)


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
