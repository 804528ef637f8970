"""Asks every scenario of the suite what it flashes and what it installs; run as a program, because
it collects: `python -m tests.unit.roles FOLDER` prints scenario -> role as JSON, last line."""

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import plugins
from harness.product import release as releases
from harness.product.release import Release
from harness.scenarios.naming import scenario_id
from harness.scenarios.plugin import Releases
from tests.unit.evidence.samples import make_release
from tests.unit.test_controls import Again, BeginsError, Told

_SUITE = Path("harness/scenarios/suite")


def made(folder: Path) -> Releases:
    """Two versions of a product that goes back."""
    for version in ("1.0.0", "1.1.0"):
        make_release(folder / version, version=version)
    return Releases(old=releases.load(folder / "1.0.0"), new=releases.load(folder / "1.1.0"))


def role(told: Told, both: Releases) -> str:
    """The first update that a scenario makes, in the words of the docs."""
    old, new = told.updates[0]
    return f"{_word(old, both)} → {_word(new, both)}"


def _word(release: Release, both: Releases) -> str:
    """A variant of a version counts as that version, unless it is there to be bad."""
    if set(release.variants) & {"kernel-panic", "failing-service", "no-kernel", "no-network"}:
        return "bad"
    if set(release.variants) & {"stuck-boot", "emergency", "health-crashes"}:
        return "bad"
    if set(release.variants) & {"hang", "hang-late", "no-initramfs", "init-missing", "no-udev"}:
        return "bad"
    return "old" if release.version.startswith(both.old.version) else "new"


class Roles:
    """A pytest plugin that asks when all is collected."""

    def __init__(self, both: Releases) -> None:
        self.both = both
        self.roles: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Called when all is collected."""
        for item in session.items:
            assert isinstance(item, pytest.Function)
            told = Told()
            values: dict[str, Any] = {"bench": told, "scenario": told, "releases": self.both}
            values |= getattr(item, "callspec").params if hasattr(item, "callspec") else {}  # noqa: B009
            wanted = inspect.signature(item.function).parameters
            if not set(wanted) <= set(values) or item.name.endswith("[NOTSET]"):
                continue  # explored, or asked for
            try:
                item.function(**{name: values[name] for name in wanted})
            except BeginsError:
                if told.updates:
                    self.roles[scenario_id(item)] = role(told, self.both)


def main(folder: Path) -> int:
    """Print what was found."""
    found = Roles(made(folder))
    setattr(plugins, "load", lambda *_, **__: Again())  # noqa: B010
    words = ["--collect-only", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    code = pytest.main([*words, "-p", "harness.scenarios.plugin", str(_SUITE)], plugins=[found])
    print(f"\n{json.dumps(found.roles)}")  # noqa: T201
    return int(code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
