"""Parts by entry point: ours, somebody else's, and those that cannot be used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import plugins

TRY = """
import sys
from harness.clients.registry import make_client
from harness.clients.selection_format import selection_format
from harness.errors import ConfigurationError
from harness import plugins
from harness.builders import builder
from harness.builders.debian.artifacts import maker
from harness.builders.debian.bootloaders import bootloader
try:
    print({what})
except ConfigurationError as error:
    print(str(error))
"""


def tried(tmp_path: Path, what: str, declared: str = "", *, twice: bool = False) -> str:
    """What a process says in which a package of somebody else's is installed."""
    for name in ("acme", "emca") if twice else ("acme",):
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(declared)
    (tmp_path / "acme.py").write_text(
        "import harness.builders.debian.bootloaders.grub as grub\n"
        "class Client:\n    def __init__(self, board): self.name = f'acme on {board}'\n"
        "    idle_changes = provision = install = await_health = data_folder = None\n"
        "    keeps_server = False\n"
        "    start_install = wait_install = status = boot_selection = reboot = switch_off = 0\n"
        "class Builder:\n    RECIPE = {}\n    build = lacks = variants = again = artifact = None\n"
        "    strange_artifact = misdirected_artifact = payload = server_ca = None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", TRY.format(what=what)],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_ours_are_declared_like_anybodys() -> None:
    told = "pyproject.toml declares others than were installed: ./run setup"
    assert plugins.names(plugins.BUILDERS) == ("debian", "finished", "yocto"), told
    assert plugins.names(plugins.CLIENTS) == ("mender", "rauc")
    assert plugins.names(plugins.ARTIFACTS) == (
        *("mender", "rauc", "swupdate", "systemd-sysupdate"),
    )
    assert plugins.names(plugins.BOOTLOADERS) == ("grub", "u-boot")
    assert plugins.names(plugins.SELECTIONS) == (
        *("file", "gpt-labels", "grub", "grub-order", "sd-boot", "u-boot", "u-boot-environment"),
    )


def test_a_product_adds_its_own(tmp_path: Path) -> None:
    declared = "[harness.clients]\nacme = acme:Client\n"
    assert tried(tmp_path, "make_client('acme', 'desk').name", declared) == "acme on desk\n"


def test_the_code_of_somebody_elses_part_is_all_of_its_package(tmp_path: Path) -> None:
    """What decides a verdict may stand in any of its files. Of ours it is the module."""
    package = tmp_path / "ota"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('nobody needs to run it')\n")
    (package / "client.py").write_text("")
    (package / "words.json").write_text("{}")
    declared = "[harness.clients]\nacme = ota.client:Client\nsmall = acme:Client\n"
    what = "[plugins.parts(plugins.CLIENTS, each) for each in ('acme', 'small', 'rauc')]"

    def told() -> list[str]:
        for old in tmp_path.glob("*.dist-info/*"):
            old.unlink()
        for old in tmp_path.glob("*.dist-info"):
            old.rmdir()
        return re.findall(r"sha256='(\w{64})'", tried(tmp_path, what, declared))

    before = told()
    (package / "words.json").write_text("[]")
    after = told()
    assert len(before) == 3
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True, True]


def test_somebody_elses_builder(tmp_path: Path) -> None:
    declared = "[harness.builders]\nacme = acme:Builder\n"
    assert tried(tmp_path, "builder.named('acme').RECIPE", declared) == "{}\n"


def test_a_bootloader_that_is_a_module(tmp_path: Path) -> None:
    declared = "[harness.bootloaders]\nlilo = acme:grub\n"
    assert "bootloaders.grub" in tried(tmp_path, "bootloader('lilo')", declared)


@pytest.mark.parametrize(
    ("what", "declared", "told"),
    [
        (
            "make_client('apt', None)",
            "",
            "client: there is no 'apt'\nhint: entry points of harness.clients: mender, rauc",
        ),
        ("maker('apt')", "", "client: there is no 'apt'"),
        (
            "builder.named('buildroot')",
            "",
            "builder: there is no 'buildroot'\nhint: entry points of",
        ),
        (
            "builder.named('acme')",
            "[harness.builders]\nacme = acme:Client\n",
            "(acme:Client): has no RECIPE, again, artifact, build, lacks, misdirected_artifact,",
        ),
        ("selection_format('lilo')", "", "bootloader: there is no 'lilo'"),
        (
            "bootloader('lilo')",
            "[harness.bootloaders]\nlilo = acme.lilo\n",
            "entry point harness.bootloaders lilo (acme.lilo): cannot be loaded: ModuleNotFound",
        ),
        (
            "bootloader('lilo')",
            "[harness.bootloaders]\nlilo = acme:Client\n",
            "(acme:Client): has no COMPRESSIONS, pieces, prepare, regions",
        ),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, what: str, declared: str, told: str) -> None:
    assert told in tried(tmp_path, what, declared)


def test_a_part_that_ends_everything_is_told(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("raise SystemExit(0)\n")
    declared = "[harness.bootloaders]\nlilo = ends\n"
    assert "cannot be loaded: SystemExit" in tried(tmp_path, "bootloader('lilo')", declared)


def test_what_a_part_says_in_many_lines_is_told_in_one(tmp_path: Path) -> None:
    (tmp_path / "talks.py").write_text("raise ValueError('one\\ntwo\\nthree')\n")
    told = tried(tmp_path, "bootloader('lilo')", "[harness.bootloaders]\nlilo = talks\n")
    assert "ValueError: one" in told
    assert len(told.splitlines()) == 1


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    declared = "[harness.clients]\nrauc = acme:Client\n"
    assert "client: acme, harness each have a 'rauc'" in tried(
        tmp_path, "make_client('rauc', None)", declared
    )


USED = """
from harness import cli, plain
from harness.builders import builder
@cli.app.command()
def use():
    {use}
cli.main()
"""


@pytest.mark.parametrize(
    ("use", "code", "told"),
    [
        (
            "builder.named('acme').again()",
            2,
            "entry point harness.builders acme (breaks:Builder): KeyError: 'x'",
        ),
        (
            "builder.named('acme').payload()",
            2,
            "entry point harness.builders acme (breaks:Builder): JSONDecodeError: Expecting value:",
        ),
        ("builder.named('acme').lacks(plain)", 1, "this is a bug in the harness"),
        ("builder.named('acme').lacks({}['x'])", 1, "this is a bug in the harness"),
    ],
)
def test_a_part_that_raises_when_it_is_used(tmp_path: Path, use: str, code: int, told: str) -> None:
    """The part is named, with its traceback; what it only called of ours is ours."""
    info = tmp_path / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[harness.builders]\nacme = breaks:Builder\n")
    (tmp_path / "breaks.py").write_text(
        "import json\n"
        "class Builder:\n    RECIPE = {}\n    build = variants = artifact = None\n"
        "    strange_artifact = misdirected_artifact = server_ca = None\n"
        "    again = lambda: {}['x']\n    payload = lambda: json.loads('')\n"
        "    lacks = lambda plain: plain.one_line(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", USED.format(use=use), "use"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code
    assert told in " ".join(done.stderr.split())
    assert "Traceback" in done.stderr
