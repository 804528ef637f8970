"""Building with kas: a program on PATH that behaves as kas and BitBake do, well and not."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness import log
from harness.builders.builder import Ability
from harness.builders.yocto import builder, host, kas
from harness.errors import BuildError, ConfigurationError, LabError
from tests.unit.builders.yocto.deploys import DeployFolder

HERE = Path(__file__).parent


class Project:
    """A product folder with a kas project, and a deploy folder that "building" it leaves."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        (folder / "bin").mkdir()
        (folder / "bin/kas").symlink_to(HERE / "fake-kas")
        (folder / "layer").mkdir()
        self.deploy = DeployFolder(folder / "made")
        self.calls = folder / "calls"
        for name, value in {
            "REAL_KAS": str(Path(sys.executable).with_name("kas")),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "FAKE_DEPLOY": str(self.deploy.folder),
            "FAKE_MACHINE": "box",
            "FAKE_CALLS": str(self.calls),
            "HARNESS_CACHE": str(folder / "cache"),
            "HARNESS_HOME": str(folder / "home"),
        }.items():
            monkeypatch.setenv(name, value)
        self.write("box.yml", header={"version": 14}, machine="box", repos={"own": OWN})
        self.write("bad.yml", header={"version": 14}, local_conf_header={"bad": 'BAD = "1"'})
        self.recipe()

    def write(self, name: str, **content: object) -> None:
        (self.folder / name).write_text(yaml.safe_dump(content))

    def recipe(self, **changes: object) -> None:
        product = str(self.deploy.product)
        told = {"kas": "box.yml", "image": "gateway-image", "product": product}
        self.write("yocto.yaml", **{**told, "variants": {"bad": "bad.yml"}, **changes})

    def ends(self, how: str) -> None:
        self.monkeypatch.setenv("FAKE_END", how)


OWN = {"layers": {"layer": None}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def test_a_release_that_kas_has_built(project: Project) -> None:
    events: list[log.Event] = []
    with log.sink(events.append):
        release = builder.built_by_kas(project.folder, version="1.1.0")
    assert (release.machine, release.version, release.builder) == ("box", "1.1.0", "yocto")
    assert release.built["recipe"]
    assert release.built["inputs"]
    called = project.calls.read_text()
    assert "version=1.1.0" in called
    assert "development.key.pem" in called
    told = [event for event in events if event["event"] == "progress"]
    assert (told[-1]["done"], told[-1]["total"]) == (300, 300)


def test_a_variant_is_another_kas_file(project: Project) -> None:
    release = builder.built_by_kas(project.folder, version="1.1.0", variants=["bad"])
    assert release.variants == ("bad",)
    assert f"box.yml:{project.folder / 'bad.yml'}" in project.calls.read_text()


def test_a_variant_that_is_none(project: Project) -> None:
    with pytest.raises(ConfigurationError, match=r"variants\.worse: there is none.*\n.*bad"):
        builder.build(project.folder, version="1.1.0", variants=["worse"])


def test_a_build_of_another_version(project: Project) -> None:
    """The distro has taken its version from somewhere else."""
    with pytest.raises(ConfigurationError, match=r"was built as 1\.1\.0, not 1\.2\.0"):
        builder.built_by_kas(project.folder, version="1.2.0")


def test_a_recipe_that_fails(project: Project) -> None:
    project.ends("recipe")
    with pytest.raises(BuildError, match="gcc: do_compile failed") as told:
        builder.built_by_kas(project.folder, version="1.1.0")
    assert "collect2: error: ld returned 1" in told.value.details
    assert "kas.log" in told.value.hint


def test_kas_that_fails(project: Project) -> None:
    project.ends("fetch")
    with pytest.raises(BuildError, match="kas failed: exit code 2") as told:
        builder.built_by_kas(project.folder, version="1.1.0")
    assert "whole log" in told.value.hint


def runs(process: int) -> bool:
    """One that has ended may wait to be reaped, and has no command line then."""
    with contextlib.suppress(OSError):
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    return False


class TestInterrupted:
    """Ctrl-C: neither kas nor BitBake's server goes on."""

    PROGRAM = (
        "import sys; from pathlib import Path; from harness.builders.yocto import kas\n"
        "p = Path(sys.argv[1])\n"
        "f = kas.Folders(work=p / 'work', build=p / 'build', log=p / 'kas.log')\n"
        "try: kas.build('box.yml', f, {'GATEWAY_VERSION': '1'})\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
    )

    @pytest.fixture
    def running(self, project: Project) -> Iterator["subprocess.Popen[bytes]"]:
        project.ends("waits")
        argv = [sys.executable, "-c", self.PROGRAM, str(project.folder)]
        with subprocess.Popen(argv, cwd=project.folder) as process:
            waits = Path(f"{project.calls}.waits")
            while not waits.exists():
                assert process.poll() is None
                time.sleep(0.05)
            yield process
            process.kill()

    def test_both_end(self, project: Project, running: "subprocess.Popen[bytes]") -> None:
        server = int((project.folder / "build/bitbake.lock").read_text())
        assert runs(server)
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
        assert "interrupted" in project.calls.read_text()
        assert not runs(server)

    def test_a_process_id_that_is_somebody_elses_now(
        self, project: Project, running: "subprocess.Popen[bytes]"
    ) -> None:
        lock = project.folder / "build/bitbake.lock"
        server = int(lock.read_text())
        with subprocess.Popen(["sleep", "60"]) as other:
            lock.write_text(str(other.pid))
            running.send_signal(signal.SIGINT)
            assert running.wait(30) == 130
            assert other.poll() is None
            other.kill()
        os.kill(server, signal.SIGKILL)


class TestAgain:
    def test_another_version_takes_the_same_inputs(self, project: Project) -> None:
        release = builder.built_by_kas(project.folder, version="1.1.0", output=project.folder / "a")
        assert not {Ability.AGAIN, Ability.NEWER} & builder.lacks(release).keys()
        assert list(builder.variants(release)) == ["bad"]
        (project.folder / "layer/new.bb").touch()
        with pytest.raises(ConfigurationError, match=r"does not build 1\.1\.0 as it was tested"):
            builder.again(release, version="1.2.0")

    def test_where_its_recipe_is_not_here(self, project: Project) -> None:
        release = builder.built_by_kas(project.folder, version="1.1.0", output=project.folder / "a")
        (project.folder / "yocto.yaml").unlink()
        assert Ability.AGAIN in builder.lacks(release)
        assert not builder.variants(release)


class TestRecipe:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"kas": "none.yml"}, "kas: there is no file"),
            ({"image": "../image"}, "image: "),
            ({"signing": "somebody"}, "signing: "),
            ({"variants": {"bad": "none.yml"}}, r"variants\.bad: there is no file"),
            ({"colour": "red"}, "colour: "),
        ],
    )
    def test_one_that_is_wrong(
        self, project: Project, change: dict[str, object], told: str
    ) -> None:
        project.recipe(**change)
        with pytest.raises(ConfigurationError, match=told):
            builder.build(project.folder, version="1.1.0")

    def test_a_version_that_is_none(self, project: Project) -> None:
        with pytest.raises(ConfigurationError):
            builder.build(project.folder, version="next one")


class TestHost:
    """What is missing is told at once, in one line, before hours of work."""

    @pytest.fixture
    def tools(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A machine that has everything."""
        (tmp_path / "tools").mkdir()
        for name in host.PROGRAMS:
            (tmp_path / "tools" / name).write_text("#!/bin/sh\n")
            (tmp_path / "tools" / name).chmod(0o755)
        (tmp_path / "tools/locale").write_text("#!/bin/sh\necho C.utf8\necho en_US.utf8\n")
        (tmp_path / "tools/locale").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:/usr/bin:/bin")
        return tmp_path / "tools"

    def told(self, folder: Path) -> str:
        with contextlib.suppress(LabError):
            host.require(folder / "not" / "there")
            return ""
        with pytest.raises(LabError) as refused:
            host.require(folder)
        assert "\n" not in refused.value.brief
        return refused.value.brief

    def test_programs_locale_and_user(
        self, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = self.told(tmp_path)
        assert "packages" not in before
        assert "no locale" not in before
        assert ("root" in before) == (os.geteuid() == 0)
        for name in ("chrpath", "diffstat"):
            (tools / name).unlink()
        (tools / "locale").write_text("#!/bin/sh\necho C.utf8\n")
        monkeypatch.setenv("PATH", f"{tools}:{self.basics(tmp_path)}")
        after = self.told(tmp_path)
        assert "missing packages: chrpath diffstat" in after
        assert "no locale en_US.UTF-8" in after

    def basics(self, tmp_path: Path) -> Path:
        """What the harness itself needs, and nothing of BitBake's."""
        (tmp_path / "basics").mkdir()
        for name in ("setpriv", "sh"):
            (tmp_path / "basics" / name).symlink_to(f"/usr/bin/{name}")
        return tmp_path / "basics"


def test_a_machine_without_kas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ConfigurationError, match=r"no kas here\n.*harness\[yocto\]"):
        kas.program()
