"""How often the power was taken from a card: it wears, and its history belongs to what it shows."""

import re
from dataclasses import asdict, dataclass
from typing import ClassVar

from pydantic import ConfigDict

from harness import files, paths, schema
from harness.log import emit

_SAFE = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardHistory:
    """`$HARNESS_HOME/cards/SERIAL.json`. One board at a time has a card, so nobody else writes."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    cuts: int = 0


def count_cut(board: str, serial: str) -> None:
    """One more cut of a card that the lab file names."""
    if not serial:
        return
    known = history(serial)
    now = CardHistory(cuts=known.cuts + 1)
    file = files.make_folder(paths.home() / "cards") / f"{_SAFE.sub('_', serial)}.json"
    files.write_whole(file, schema.to_bytes(asdict(now)))
    emit("card cut", board=board, card=serial, cuts=now.cuts)


def history(serial: str) -> CardHistory:
    """What is known of a card."""
    file = paths.home() / "cards" / f"{_SAFE.sub('_', serial)}.json"
    if not file.exists():
        return CardHistory()
    return schema.from_json(CardHistory, files.read(file), what=file)
