"""What is asked of a release's builder: ours can do it while the recipe is here, others may not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.builders import builder
from harness.builders.builder import Ability
from harness.errors import ConfigurationError
from harness.evidence.subject import read_subject
from harness.product import release as releases
from harness.product.release import Release
from harness.scenarios import products
from harness.scenarios.runner import _not_looked_into
from tests.unit.evidence.samples import make_release

WHY = "its images are whoever's"


class Files:
    """Somebody who takes images that others built."""

    RECIPE = dict

    def lacks(self, release: Release) -> dict[Ability, str]:
        return dict.fromkeys(Ability, WHY)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name}: was asked of who cannot do it")


@pytest.fixture
def adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    """A release of theirs: nothing of a recipe in it."""
    make_release(tmp_path / "adopted", version="1.1.0")
    release = replace(releases.load(tmp_path / "adopted"), built={"builder": "files"})
    release.write()
    monkeypatch.setattr(plugins, "load", lambda *_, **__: Files())
    yield releases.load(tmp_path / "adopted")


def test_an_adopted_release_is_evidence_like_any(adopted: Release) -> None:
    """What its artifact holds is not checked, and said so; the rest of it is."""
    assert read_subject(adopted.folder).version == "1.1.0"
    assert _not_looked_into(adopted) == {"artifact-payload": WHY}
    adopted.slot_image.write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r"files\.slot\.img: content"):
        read_subject(adopted.folder)


def test_what_cannot_be_made_is_told_and_never_tried(adopted: Release) -> None:
    assert products.lacking(adopted, ["kernel-panic"]) == WHY
    for ability in Ability:
        with pytest.raises(ConfigurationError, match=f"release.json: {WHY}$"):
            builder.require(adopted, ability)
    with pytest.raises(ConfigurationError, match=WHY):
        products.alike(adopted, version="2.0.0")


def test_the_way_on_is_one_that_there_is(adopted: Release, tmp_path: Path) -> None:
    make_release(tmp_path / "old", version="1.0.0")
    old = releases.load(tmp_path / "old")
    assert products.no_way_on(adopted, old) == ""
    assert products.onward(adopted, old) is old
    promises = replace(adopted.product.promises, downgrades="refused")
    strict = replace(adopted, product=replace(adopted.product, promises=promises))
    assert products.no_way_on(strict, old) == WHY
    assert products.no_way_on(replace(strict, version="0.9"), old) == ""


def test_ours_without_its_recipe_can_still_look_into_an_artifact(tmp_path: Path) -> None:
    make_release(tmp_path / "release", machine="nowhere")
    release = releases.load(tmp_path / "release")
    why = "the product's recipe is not here: images/nowhere"
    lacks = builder.of(release).lacks(release)
    assert lacks == dict.fromkeys(set(Ability) - {Ability.PAYLOAD}, why)
    assert builder.of(release).payload(release) == release.slot


def test_ours_with_its_recipe_can_do_all_that_the_recipe_names(tmp_path: Path) -> None:
    make_release(tmp_path / "release")
    release = releases.load(tmp_path / "release")
    assert set(builder.of(release).lacks(release)) == {Ability.AUTHORITY}
    named = replace(release, product=replace(release.product, server_ca="0" * 64))
    assert builder.of(named).lacks(named) == {}
    with pytest.raises(ConfigurationError, match="is not the one that images/legacy-gateway names"):
        builder.of(named).server_ca(named)
    assert "no-boot-counter" in builder.of(release).variants(release)


def test_what_a_release_says_of_its_building_must_be_whole(tmp_path: Path) -> None:
    make_release(tmp_path / "release")
    release = releases.load(tmp_path / "release")
    replace(release, built={"builder": "debian"}).write()
    with pytest.raises(ConfigurationError, match=r"release\.json: built: \d problems"):
        read_subject(tmp_path / "release")
