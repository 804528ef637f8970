"""What was found of one part of a bench, and the list of them in which one rests on another."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import ConfigurationError, HarnessError
from harness.log import step


class Wellness(StrEnum):
    """Of a part."""

    WELL = "well"
    ILL = "ill"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`told`: what was seen; `fix`: what to do about it."""

    part: str
    health: Wellness
    told: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look: `at` returns what it has seen, or raises a HarnessError. It needs that the parts
    `on` are well."""

    part: str
    at: Callable[[], str]
    on: Sequence[str] = ()


class CouldNotLook(Exception):
    """Why a part was not checked, though all that it rests on is well."""


def look_at_all(
    looks: Sequence[Look], *, board: str, without: Collection[str] = ()
) -> list[Finding]:
    """Each part in its turn; what rests on one that is not well is not checked. One in `without` is
    taken for well; ConfigurationError when there is none of that name."""
    known = [look.part for look in looks]
    if wrong := [part for part in without if part not in known]:
        raise ConfigurationError(f"there is no part {wrong[0]!r}", hint=", ".join(known))
    found: dict[str, Finding] = {}
    held = {*without}  # well, or taken for that
    for look in looks:
        missing = [part for part in look.on if part not in held]
        if missing or look.part in without:
            why = f"rests on: {', '.join(missing)}" if missing else "left out, as asked"
            found[look.part] = Finding(part=look.part, health=Wellness.NOT_CHECKED, told=why)
            continue
        with step("look", board=board, part=look.part):
            found[look.part] = _found(look)
        if found[look.part].health is Wellness.WELL:
            held.add(look.part)
    return list(found.values())


def _found(look: Look) -> Finding:
    try:
        return Finding(part=look.part, health=Wellness.WELL, told=look.at())
    except CouldNotLook as why:
        return Finding(part=look.part, health=Wellness.NOT_CHECKED, told=str(why))
    except HarnessError as error:
        told = "\n".join(filter(None, (error.brief, error.details)))
        return Finding(part=look.part, health=Wellness.ILL, told=told, fix=error.hint)
