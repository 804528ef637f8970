"""policy.yaml of the release repository: what each ring asks for, and whose word counts.

schema: 1
keys:
  development: {pem: "-----BEGIN PUBLIC KEY-----..."}
  jenkins: {file: keys/jenkins.pem}
rings:
  canary:
    machines: [legacy-gateway, rpi4]
    partial: false
    evidence_keys: [development, jenkins]
    scenarios: [update, "bad-update[kernel-panic]"]
    matching: {"power-cut[*]": 10}
    crash: {required: true}
  fleet:
    ...
    requires_ring: canary

docs/promotion.md has all keys, and what holds where one is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field
from securesystemslib.signer import Key  # type: ignore[attr-defined]

from harness import schema
from harness.boards.lab_file import Kind
from harness.errors import ConfigurationError
from harness.evidence import signing
from harness.evidence.record import is_plain_path
from harness.promotion.ring import Ring
from harness.version import problem

Read = Callable[[str], str | None]  # a file's text by its path, None when there is none
POLICY_FILE = "policy.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A public key: PEM in place, or a file of the release repository that holds it."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    pem: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashPolicy:
    """Whether every power-cut point of the update must have been explored, and none be bad;
    `cut_points`: of at least so many."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    required: bool
    cut_points: Annotated[int, Field(ge=1)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessPolicy:
    """Whose runs count: of which versions of the harness (none: of the one that promotes), and
    whether with changes that are in no commit, of the harness or of the product folder."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    versions: tuple[str, ...] = ()
    dirty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RingPolicy:
    """What one ring asks for. `matching` maps a pattern, in which only `*` is special, to how
    many different scenarios that match it must have passed. A scenario that could not look at an
    invariant of `checked` has not passed.

    All must have passed from each start: from what the ring holds now (unless `from_ring` is off)
    and from each of `from_versions`. What a run must be to count at all is said by `max_age_days`,
    `labs` (patterns), `boards` (what they must be), `parts` and `harness`."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    machines: Annotated[tuple[str, ...], Field(min_length=1)]
    evidence_keys: Annotated[tuple[str, ...], Field(min_length=1)]
    scenarios: tuple[str, ...] = ()
    matching: dict[str, Annotated[int, Field(ge=1)]] = field(default_factory=dict)
    checked: tuple[str, ...] = ()  # invariants that each of these scenarios must have looked at
    requires_ring: Ring | None = None
    crash: CrashPolicy | None = None
    partial: bool = False  # whether some machines may get a version that others do not
    from_ring: bool = True
    from_versions: tuple[str, ...] = ()
    max_age_days: Annotated[int, Field(ge=1, le=36500)] = 90
    boards: Annotated[tuple[Kind, ...], Field(min_length=1)] = (Kind.QEMU, Kind.REAL)
    labs: Annotated[tuple[str, ...], Field(min_length=1)] = ("labs/*",)  # those of the checkout
    harness: HarnessPolicy = HarnessPolicy()
    variants: tuple[str, ...] = ()  # deliberate variants that may go in
    parts: tuple[str, ...] = ()  # patterns: distributions of others whose parts may have a say


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """policy.yaml."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    schema: Annotated[int, Field(ge=1)]
    keys: dict[str, TrustedKey]
    rings: dict[Ring, RingPolicy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy whose keys have been read and whose names all lead somewhere."""

    rings: dict[Ring, RingPolicy]
    keys: dict[str, Key]

    def trusted(self, ring: Ring) -> list[Key]:
        """The public keys whose evidence counts for a ring."""
        return [self.keys[name] for name in self.rings[ring].evidence_keys]

    @classmethod
    def load(cls, read: Read) -> "Policy":
        """Read policy.yaml of a release repository.

        Raises ConfigurationError with all problems, each with its key path.
        """
        text = read(POLICY_FILE)
        if text is None:
            raise ConfigurationError(
                f"{POLICY_FILE}: the release repository has none",
                hint="docs/promotion.md shows one; `harness promote` needs it to know what to ask",
            )
        parsed = schema.from_yaml(PolicyFile, text, what=POLICY_FILE)
        problems = [] if parsed.schema == 1 else [f"schema: {parsed.schema} is not known, 1 is"]
        keys: dict[str, Key] = {}
        for name, trusted in parsed.keys.items():
            try:
                keys[name] = signing.public_key(_pem(trusted, read))
            except (ValueError, ConfigurationError) as error:
                problems.append(f"keys.{name}: {error}")
        for ring in parsed.rings:
            problems += _ring_problems(ring, parsed)
        if problems:
            raise ConfigurationError.of(POLICY_FILE, problems)
        return cls(rings=parsed.rings, keys=keys)


def matches(pattern: str, scenario: str) -> bool:
    """Whether a scenario's id fits a pattern in which `*` is any text and all else itself
    (ids are full of brackets, which the usual globs would read as sets)."""
    first, *rest = pattern.split("*")
    if not rest:
        return scenario == pattern
    *middle, last = rest
    at = len(first)
    for part in middle:  # the first place that fits is as good as any
        found = scenario.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return (
        scenario.startswith(first) and scenario.endswith(last) and at + len(last) <= len(scenario)
    )


def _pem(key: TrustedKey, read: Read) -> str:
    if key.pem is not None and key.file is None:
        return key.pem
    if key.file is None or key.pem is not None:
        raise ValueError("needs either pem or file")
    if not is_plain_path(key.file):
        raise ValueError(f"file: {key.file} is outside the release repository")
    text = read(key.file)
    if text is None:
        raise ValueError(f"file: {key.file}: there is no such file in the release repository")
    return text


def _ring_problems(ring: Ring, policy: PolicyFile) -> list[str]:
    asked = policy.rings[ring]
    problems = [
        f"rings.{ring}.evidence_keys: {name!r} is not one of keys"
        for name in asked.evidence_keys
        if name not in policy.keys
    ]
    explored = asked.crash is not None and asked.crash.required
    if not asked.scenarios and not asked.matching and not explored:
        problems.append(f"rings.{ring}: asks for no scenario, so anything would be let through")
    problems += [
        f"rings.{ring}.from_versions: {told}"
        for each in asked.from_versions
        if (told := problem(each))
    ]
    before = asked.requires_ring
    if before is not None and list(Ring).index(before) >= list(Ring).index(ring):
        problems.append(f"rings.{ring}.requires_ring: {before} does not come before {ring}")
    elif before is not None and before not in policy.rings:
        problems.append(f"rings.{ring}.requires_ring: the policy has no ring {before}")
    return problems
