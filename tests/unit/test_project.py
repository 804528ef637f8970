"""Which product folder counts, and what its harness.toml may say."""

import re
from pathlib import Path

import pytest

from harness import project
from harness.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


def product(folder: Path, text: str = 'lab = "labs/mine.yaml"\nscenarios = "own"\n') -> Path:
    for name in ("labs", "own", "recipes/gateway"):
        (folder / name).mkdir(parents=True)
    (folder / "labs/mine.yaml").write_text("targets: {}\n")
    (folder / project.FILE).write_text(text)
    return folder


def test_the_nearest_above_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = product(tmp_path / "outer")
    inner = product(root / "recipes/gateway/inner", 'lab = ""\n')
    monkeypatch.chdir(root / "recipes/gateway")
    assert project.default_lab() == root / "labs/mine.yaml"
    assert project.told(root / "recipes/gateway") == "recipes/gateway"
    assert project.told(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")
    assert project.named("recipes/gateway") == root / "recipes/gateway"
    assert project.command() == ("harness",)
    monkeypatch.chdir(inner)
    with pytest.raises(ConfigurationError, match=r"inner/harness\.toml has no `lab`"):
        project.default_lab()


def test_outside_of_any_it_is_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert project.default_lab() == ROOT / "labs/qemu.yaml"
    assert project.told(ROOT / "images/rpi4") == "images/rpi4"
    assert project.command() == ("./run", "harness")


def test_installed_and_outside_of_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project, "__file__", str(tmp_path / "site-packages/harness/project.py"))
    assert project.find() is None
    with pytest.raises(ConfigurationError, match=r"--lab: which lab file\? no harness\.toml here"):
        project.default_lab()
    assert project.told(ROOT / "images") == str(ROOT / "images")


def test_its_folders_that_must_be_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(product(tmp_path / "mine"))
    found = project.find()
    assert found
    assert sorted(found.parts()) == ["labs", "labs/mine.yaml", "own", "recipes"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lab = 3\n", "lab: must be text"),
        ("labs = 'x'\n", r"labs: unknown key \(known here: lab, scenarios\)"),
        ("lab = 'no.yaml'\n", r"lab: no\.yaml is no file"),
        ("scenarios = 'harness.toml'\n", r"scenarios: harness\.toml is no folder"),
        ("lab = 'a'\nlab = 'b'\n", "not usable TOML"),
        ("lab = 2026-11-27\n", "not usable TOML"),
        ("x = " + "[" * 5000, "not usable TOML"),
        ("\0", "not usable TOML"),
        ("x = " + "9" * 5000, "not usable TOML"),
        ("scenarios = '.'\n", r"scenarios: \. is no folder below this one"),
        ("scenarios = '..'\n", r"scenarios: \.\. is no folder below this one"),
    ],
)
def test_a_wrong_file_is_told_by_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.chdir(product(tmp_path / "mine", text))
    with pytest.raises(ConfigurationError) as refused:
        project.find()
    assert str(tmp_path / "mine" / project.FILE) in refused.value.brief
    assert re.search(told, f"{refused.value.brief}\n{refused.value.details}")
