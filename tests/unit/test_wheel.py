"""The harness as a wheel: what it brings along, what it needs, whether it is as it was built."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.evidence import installed

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "dask", "distributed", "labgrid", "aiohttp", "crc32c", "paramiko", "pytest")


def run(*argv: str | Path, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(cwd)}
    return subprocess.run(
        argv, cwd=cwd, env={**path, **env}, capture_output=True, text=True, check=False, timeout=200
    )


def must(*argv: str | Path, cwd: Path = ROOT, **env: str) -> str:
    done = run(*argv, cwd=cwd, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Python packages in which the wheel of a clean checkout is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    checkout.mkdir()
    copy = 'git ls-files -z | tar --null --files-from=- --create | tar --extract --directory="$0"'
    must("bash", "-c", copy, checkout)
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "all")):
        must("git", *who, *words, cwd=checkout)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
    quiet = ("--quiet", "--no-deps")
    must(*pip, "wheel", *quiet, "--no-build-isolation", "-w", folder, checkout, cwd=folder)
    (wheel,) = folder.glob("harness-*.whl")
    must(*pip, "install", *quiet, "--no-index", "--target", folder / "site", wheel, cwd=folder)
    return folder / "site"


def python(site: Path, code: str, cwd: Path) -> str:
    path = f"import sys; sys.path.insert(0, {str(site)!r});"
    return must(sys.executable, "-P", "-c", path + code, cwd=cwd)


def harness(
    site: Path, *words: str | Path, cwd: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    home = {"HARNESS_HOME": str(cwd / "home"), "HARNESS_CACHE": str(cwd / "cache")}
    argv = (sys.executable, "-P", "-m", "harness", *words)
    return run(*argv, cwd=cwd, PYTHONPATH=str(site), **home, **env)


def test_promotion_and_reports_are_light(site: Path, tmp_path: Path) -> None:
    code = f"""
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Refuse())
import harness.cli, harness.promotion.promote, harness.evidence.report
import harness.builders.debian.build
import harness.starter.begin, harness.prerequisites
print(harness.cli.__file__)
"""
    assert python(site, code, tmp_path).startswith(str(site))


def _changed(package: Path, _: Path) -> None:
    (package / "plain.py").write_text((package / "plain.py").read_text() + "\n")


def _gone(package: Path, _: Path) -> None:
    (package / "scenarios/pytest.ini").unlink()


def _more(package: Path, _: Path) -> None:
    (package / "scenarios/suite/test_mine.py").write_text("")


def _compiled(package: Path, _: Path) -> None:
    (package / "more.cpython-311-x86_64-linux-gnu.so").write_text("")


def _linked(package: Path, other: Path) -> None:
    shutil.rmtree(package / "faults")
    (package / "faults").symlink_to(other)


CHANGES = (_changed, _gone, _more, _compiled, _linked)


def test_it_knows_whether_it_is_as_it_was_built(site: Path, tmp_path: Path) -> None:
    told = "import harness.evidence.tools as t; print(t.tool_versions()['harness'])"
    clean = eval(python(site, told, tmp_path))  # noqa: S307 - a dict that we have printed
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    other = tmp_path / "other"
    shutil.copytree(site / "harness/faults", other)
    for change in CHANGES:
        kept = shutil.copytree(site, tmp_path / "kept", symlinks=True)
        change(site / "harness", other)
        assert "'dirty': True" in python(site, told, tmp_path), change.__name__
        shutil.rmtree(site)
        kept.rename(site)
    assert "'dirty': False" in python(site, told, tmp_path)


def test_what_was_never_installed_cannot_say(tmp_path: Path) -> None:
    (tmp_path / "harness").mkdir()
    assert installed.changed(tmp_path / "harness") is None
    assert installed.commit(tmp_path / "harness") == (None, None)


@pytest.mark.parametrize("machine", ["legacy-gateway", "rpi4"])
def test_a_product_begins(site: Path, tmp_path: Path, machine: str) -> None:
    done = harness(site, "init", "mine", "--machine", machine, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    mine = tmp_path / "mine"
    assert "@" not in (mine / "README.md").read_text()
    assert must("git", "status", "--porcelain", cwd=mine).count("\nA ") > 50
    made = {str(path.relative_to(mine)) for path in mine.rglob("*")}
    assert {".github/workflows/harness.yml", ".gitlab-ci.yml", "Jenkinsfile"} <= made
    assert "yocto.yaml" not in {Path(name).name for name in made}  # its kas project is not there
    policy = must("git", "show", "HEAD:policy.yaml", cwd=mine / "releases.git")
    assert "power-cut[*" in policy
    link = next(mine.rglob("default.target"))
    assert link.is_symlink()  # an image's own link, which leads nowhere here
    assert (next(mine.rglob("gateway-update"))).stat().st_mode & 0o111
    (tmp_path / "empty").mkdir()
    assert harness(site, "init", ".", cwd=tmp_path / "empty").returncode == 0
    assert (tmp_path / "empty/harness.toml").is_file()
    again = harness(site, "init", "mine", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (
        2,
        "configuration error: mine: is there\nhint: name a new folder\n",
    )


def test_a_recipe_of_a_product_is_read(site: Path, tmp_path: Path) -> None:
    assert harness(site, "init", "mine", cwd=tmp_path).returncode == 0
    recipe = tmp_path / "mine/recipes/gateway/recipe.yaml"
    recipe.write_text(recipe.read_text().replace("bootloader: grub", "bootloader: lilo"))
    done = harness(site, "build", "recipes/gateway", "--version", "1", cwd=tmp_path / "mine")
    assert done.returncode == 2
    assert "bootloader" in done.stderr


def test_a_package_that_is_missing_is_named(site: Path, tmp_path: Path) -> None:
    """Without the extra `lab`: one line, and what to do."""
    blocked = tmp_path / "blocked"
    (blocked / "pytest").mkdir(parents=True)
    (blocked / "pytest/__init__.py").write_text(
        "raise ModuleNotFoundError('no pytest', name='pytest')"
    )
    path = f"{blocked}:{site}"
    argv = (sys.executable, "-P", "-m", "harness", "test", "x", "--from", "y", "-b", "z")
    done = run(*argv, "--lab", "l", cwd=tmp_path, PYTHONPATH=path, HARNESS_HOME=str(tmp_path))
    assert done.returncode == 2
    assert "this needs the Python package pytest" in done.stderr
    assert "Traceback" not in done.stderr
