"""What this machine needs before boards can be played: Debian packages, and Python's of `lab`."""

import importlib.metadata
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import paths, process
from harness.errors import ConfigurationError
from harness.log import step

_SYSTEM = Path(__file__).parent / "system.sh"
_EXTRA = "lab"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)[^;]*;.*\bextra\s*==\s*['\"](?P<extra>\w+)['\"]")
_LOOK_SECONDS = 60
_INSTALL_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Names of what is not installed: packages of Debian, and requirements of Python's."""

    debian: tuple[str, ...]
    python: tuple[str, ...]

    def require_nothing(self) -> None:
        """Raises ConfigurationError that names all of it, and the commands that install it."""
        problems = []
        if self.debian:
            problems.append(f"Debian packages: {' '.join(self.debian)}")
        if self.python:
            problems.append(f"Python packages: {', '.join(self.python)}")
        if problems:
            raise ConfigurationError.of(
                "this machine lacks", problems, hint="`harness setup --install` installs them"
            )


def missing() -> Missing:
    """What this machine lacks."""
    argv = ("bash", _SYSTEM, "missing")
    done = process.run(argv, timeout=_LOOK_SECONDS, error=ConfigurationError)
    return Missing(debian=tuple(done.stdout.split()), python=tuple(_missing_python()))


def install(lacks: Missing) -> None:
    """Install what is missing, and have the kernel run programs of arm64; sudo is asked for these
    two only."""
    with step("apt", packages=list(lacks.debian)):
        apt = ("bash", _SYSTEM, "install", paths.cache() / "setup.log")
        process.run(apt, timeout=_INSTALL_SECONDS, error=ConfigurationError)
    if lacks.python:
        with step("pip", packages=list(lacks.python)):
            pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--")
            process.run((*pip, *lacks.python), timeout=_INSTALL_SECONDS, error=ConfigurationError)


def _missing_python() -> list[str]:
    """Requirements of the extra `lab` of which no version is installed."""
    try:
        declared = importlib.metadata.requires("harness")
    except importlib.metadata.PackageNotFoundError:
        declared = None
    if not declared:
        raise ConfigurationError(
            "the harness itself is not installed in this Python, or not whole",
            hint="pip install its wheel",
        )
    found = [(line, _REQUIREMENT.match(line)) for line in declared]
    return [
        line.partition(";")[0].strip()
        for line, each in found
        if each and each["extra"] == _EXTRA and not _installed(each["name"])
    ]


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
