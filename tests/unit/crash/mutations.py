"""Seeded damage to files: bytes changed, cut and repeated, and JSON with other values in it."""

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

NUMBERS = (-1, 0, 1, 511, 513, 10**10, 2**31, 2**48, 2**63 - 1, 2**63, 2**64 - 1, 10**40)
VALUES: tuple[Any, ...] = (
    *(None, True, False, *NUMBERS, 0.5, 1e308, float("nan"), float("inf"), "", "x", "\0", "/"),
    *("9" * 5000, "1/some:3", "7/torn:6:99999999999", "1/all>" * 99, "2026-01-01", "NaN"),
    *([], {}, [[]], [0, 10**10], [{}], {"": ""}, "../../log.bin"),
)


def of_bytes(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """`count` damaged copies."""
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        copy = bytearray(content)
        for _ in range(chance.choice((1, 1, 1, 2, 9))):
            _damage(copy, chance)
        yield bytes(copy)


def of_json(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """`count` copies in which a value is another one, gone, or somewhere else."""
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        copy = json.loads(content)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            _change(copy, chance)
        yield json.dumps(copy).encode()


def _damage(copy: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(copy) + 1)
    length = chance.choice((1, 8, 60, 4096))
    word = chance.choice(("flip", "cut", "delete", "insert", "repeat", "number", "zeros"))
    if word == "flip" and at < len(copy):
        copy[at] ^= 1 << chance.randrange(8)
    elif word == "cut":
        del copy[at:]
    elif word == "delete":
        del copy[at : at + length]
    elif word == "insert":
        copy[at:at] = chance.randbytes(length)
    elif word == "repeat":
        copy[at:at] = copy[at : at + length]
    elif word == "number":
        value = chance.choice(NUMBERS) % 2**64
        copy[at : at + 8] = struct.pack("<Q", value)
    elif word == "zeros":
        copy[at : at + length] = bytes(length)


def _change(copy: Any, chance: random.Random) -> None:
    holder, key = _place(copy, chance)
    if holder is None:
        return
    word = chance.choice(("replace", "replace", "step", "delete", "repeat", "move"))
    if word == "delete":
        del holder[key]
    elif word == "step" and type(holder[key]) is int:
        holder[key] += chance.choice((-1, 1, 2))
    elif word == "repeat" and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif word == "move":
        other, place = _place(copy, chance)
        if other is not None:
            other[place] = json.loads(json.dumps(holder[key]))
    else:
        holder[key] = chance.choice(VALUES)


def _place(copy: Any, chance: random.Random) -> tuple[Any, Any]:
    """A random one of all places where there is a value; deep ones as often as flat ones."""
    holder: Any = None
    key: Any = None
    while isinstance(copy, dict | list) and copy and (holder is None or chance.random() < 0.8):
        key = chance.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
        holder, copy = copy, copy[key]
    return holder, key
