"""The law, for every file that somebody else may have written."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.boards.lock import BoardLock
from harness.evidence import signing
from harness.evidence.store import EvidenceStore
from harness.promotion.starter import init_repository
from tests.unit.boards.conftest import LAB
from tests.unit.builders.samples import recipe_folder
from tests.unit.crash.explored import explore
from tests.unit.crash.recordings import recording
from tests.unit.evidence.samples import finished_run, make_release, record
from tests.unit.law import damage
from tests.unit.law.lawful import harness, require_lawful, search
from tests.unit.promotion.conftest import git, starter

NEVER = "no version"  # so that nothing is ever built
STATE = '{"holder": 1, "qemu": 2, "ssh_port": 3, "boots": 4, "console": "c"}'


@dataclass(frozen=True)
class World:
    """One good file of each kind, below one folder."""

    folder: Path
    run: Path

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("law")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(folder / "home"))
        patch.setenv("HARNESS_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        (folder / "lab.yaml").write_text(LAB)
        recipe_folder(folder / "recipe")
        subject = make_release(folder / "release")
        signer = signing.load_signer()
        run = finished_run(EvidenceStore(folder / "store"), subject, [record()], signer)
        init_repository(folder / "releases", starter(signer))
        (folder / "recorded").mkdir()
        recording(folder / "recorded")
        yield World(folder, run.folder)


def check(world: World, file: Path, *words: str | Path, more: tuple[str, ...] = ()) -> None:
    """Damage a file in all ways; the command must be lawful. `more`: other names that will do."""
    good = file.read_bytes()

    def lawful(place: damage.Place) -> None:
        place(file)
        require_lawful(harness("-q", *words), file, file.name, *more)

    try:
        require_lawful(harness("-q", *words), "")
        search(damage.damaged(good), lawful)
    finally:
        damage.written(good)(file)


def test_recipe(world: World) -> None:
    file = world["recipe/recipe.yaml"]
    check(world, file, "build", world["recipe"], "--version", NEVER, more=(NEVER,))


def test_release(world: World) -> None:
    words = ("flash", world["release"], "--board", "nobody", "--lab", world["lab.yaml"])
    check(world, world["release/release.json"], *words, more=("nobody",))


def test_lab(world: World) -> None:
    """As far as the board is opened; the release is for another machine."""
    words = ("flash", world["release"], "--board", "one", "--lab", world["lab.yaml"])
    check(world, world["lab.yaml"], *words, more=("the release is for",))


def test_lab_for_all_boards(world: World) -> None:
    check(world, world["lab.yaml"], "status", "--lab", world["lab.yaml"])


@pytest.mark.parametrize("name", ["evidence.json", "evidence.dsse.json"])
def test_evidence(world: World, name: str) -> None:
    check(world, world.run / name, "report", world.run, more=(str(world.run),))


def test_recording(world: World) -> None:
    file = next(world["recorded"].rglob("recording.json"))
    check(world, file, "crash", "fsck", file.parent, "--at", "3", more=(str(file.parent), "3/none"))


@pytest.fixture(scope="module")
def explored(world: World) -> Path:
    """A recording, explored to its end."""
    folder = world["explored"]
    folder.mkdir()
    run = recording(folder, careful=True).folder
    explore(run)
    return run


@pytest.mark.parametrize("name", ["results.json", "audit.json", "proofs/00000/proof.json"])
def test_exploration(world: World, explored: Path, name: str) -> None:
    words = ("crash", "report", explored, "--store", world["home/explored"])
    check(world, explored / name, *words, more=(str(explored),))


@pytest.mark.parametrize("name", ["flashed.json", "state.json"])
def test_what_a_board_tells(world: World, name: str) -> None:
    folder = world["cache/run/one"]
    lock = BoardLock(folder, "one")
    lock.acquire()
    try:
        (folder / "flashed.json").write_text('{"image": "disk.img", "version": "1.0.0"}')
        (folder / "state.json").write_text(STATE)
        check(world, folder / name, "status", "--lab", world["lab.yaml"])
    finally:
        lock.release()
        shutil.rmtree(folder)


def test_evidence_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file = world["key.pem"]
    file.write_bytes(world["home/pki/evidence_ed25519"].read_bytes())
    file.chmod(0o600)
    monkeypatch.setenv("HARNESS_EVIDENCE_KEY", str(file))

    def lawful(place: damage.Place) -> None:
        place(file)
        require_lawful(harness("-q", "status", "--lab", world["lab.yaml"]), file)

    search(damage.kinds(), lawful)


@pytest.mark.parametrize("variable", ["HARNESS_HOME", "HARNESS_CACHE"])
def test_own_folders(world: World, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    file = world["folder"]
    monkeypatch.setenv(variable, str(file))

    def lawful(place: damage.Place) -> None:
        place(file)
        require_lawful(harness("-q", "status", "--lab", world["lab.yaml"]), file)

    search(damage.kinds(), lawful)


@pytest.mark.parametrize("option", ["--events", "--lab", "--store"])
def test_options_that_name_files(world: World, option: str) -> None:
    file = world["named"]

    def lawful(place: damage.Place) -> None:
        place(file)
        lab = () if option == "--lab" else ("--lab", str(world["lab.yaml"]))
        before, after = ((option, str(file)), ()) if option == "--events" else ((), (option, file))
        require_lawful(harness("-q", *before, "status", *lab, *after), file)

    search(damage.kinds(), lawful)


@pytest.mark.parametrize("name", ["policy.yaml", "rings/canary.yaml"])
def test_release_repository(world: World, name: str) -> None:
    file = world["releases"] / name
    words = ("promote", world["release"], "--ring", "canary", "--repo", world["releases"])
    good = file.read_bytes()

    def commit(content: bytes) -> None:
        file.write_bytes(content)
        git(world["releases"], "commit", "--quiet", "--allow-empty", "-am", "damage")

    def lawful(content: bytes) -> None:
        commit(content)
        told = harness("-q", *words, "--store", world["store"])
        require_lawful(told, name, str(world["releases"]), "canary")

    try:
        search(damage.contents(good), lawful)
    finally:
        commit(good)


@pytest.mark.parametrize("name", ["evidence.json", "evidence.dsse.json"])
def test_store_of_a_promotion(world: World, name: str) -> None:
    words = ("promote", world["release"], "--ring", "lab", "--repo", world["releases"])
    check(world, world.run / name, *words, "--store", world["store"], more=("legacy-gateway",))
