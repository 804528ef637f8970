"""A crash state worked out from base and log is what the medium itself leaves, byte for byte."""

import random
from pathlib import Path

import pytest

from harness.crash.states.cut import Cut, parse
from harness.crash.states.sources import Sources, cut_off
from harness.errors import ConfigurationError
from harness.medium.log import RecordKind
from harness.medium.model import Loss, Model
from tests.unit.crash.logs import (
    SIZE,
    base_image,
    content,
    losses,
    medium,
    records,
    scribble,
)

MODELS = pytest.mark.parametrize("model", list(Model))


def computed(base: Path, log: Path, model: Model, state: str) -> bytes:
    """The content of a state, also after a way through a state file."""
    sources = Sources(SIZE, base)
    cut = parse(state).first
    cut_off(sources, log, model, cut)
    file = log.parent.parent / "state-file.json"
    sources.save(file)
    assert content(Sources.load(file)) == content(sources)
    return content(sources)


@pytest.mark.parametrize(("model", "cache"), [(Model.DISK, 0), (Model.SD, 0), (Model.SD, 6)])
@pytest.mark.parametrize("seed", range(8))
def test_every_loss_as_the_medium_itself(
    tmp_path: Path, model: Model, cache: int, seed: int
) -> None:
    """The last write is not answered; an earlier power cut may lie in the log. Of what a card can
    still lose a cut may also take less."""
    base, folder = base_image(tmp_path), tmp_path / "medium"
    length, earlier = random.Random(seed).randint(1, 25), ["", "none", "torn:3"][seed % 3]

    def made() -> bytes:
        """Everything up to the cut, each time the same."""
        chance, found = random.Random(seed), medium(folder, base, model, cache)
        if earlier:
            scribble(found, chance, 9, struck=True)
            found.cut(Loss.parse(earlier), found.position, digest=False)
        scribble(found, chance, length, struck=True)
        cut = found.cut(Loss.parse(loss), found.position, digest=False)
        found.close()
        assert cut.position == len(records(folder / "log.bin")) - 1
        return (folder / "content.img").read_bytes()

    loss = "all"
    made()
    at = len(records(folder / "log.bin")) - 1
    log = records(folder / "log.bin")[:at]
    for loss in (each for window in {0, cache // 2, cache} for each in losses(log, model, window)):
        left = made()
        assert computed(base, folder / "log.bin", model, f"{at}/{loss}") == left, loss
        assert computed(base, folder / "log.bin", model, f"{at + 1}/all") == left, loss


@MODELS
@pytest.mark.parametrize("seed", range(10))
def test_all_is_what_every_answered_request_left(tmp_path: Path, model: Model, seed: int) -> None:
    base, folder = base_image(tmp_path), tmp_path / "medium"
    found = medium(folder, base, model)
    for _ in range(4):
        scribble(found, random.Random(seed), 6)
        now = (folder / "content.img").read_bytes()
        assert computed(base, folder / "log.bin", model, f"{found.position}/all") == now
    found.close()


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    base, folder = base_image(tmp_path), tmp_path / "medium"
    found = medium(folder, base, Model.DISK)
    data = bytes(1024)
    for fua in (False, True, False):
        found.change(RecordKind.WRITE, 0, 1024, data=data, fua=fua)
    found.close()
    log = folder / "log.bin"
    for state, why in {
        "4/none": "has 3 records",
        "3/only:1": "write 1 is not in doubt",
        "3/torn:2:2": "has only 2 sectors",
        "3/only:0,1": "write 1 is not in doubt",
        "3/only:0:2": "has only 2 sectors",
        "3/none~2": "a disk has a cache of its own",
    }.items():
        with pytest.raises(ConfigurationError, match=why):
            computed(base, log, Model.DISK, state)
    for text in ("3", "x/none", "-1/none", "3/most", "3/none>", " 3/none"):
        with pytest.raises(ConfigurationError, match="is no crash state"):
            parse(text)


def test_printed_form() -> None:
    text = "12/torn:5:3>7/without:2"
    assert str(parse(text)) == text
    assert parse("3/all").cuts == (Cut(at=3, loss=Loss.parse("all")),)
