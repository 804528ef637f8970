"""Which scenarios a run will have: found by a process of its own.

A product's files are imported there, and later by the workers that run them, but never where
evidence is written: what they do to the process that they are imported by (patches that stay, a
working folder, threads) ends with it. For the same reason they never share a worker with the
harness's own scenarios.
"""

import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ConfigDict

from harness import files, process, schema
from harness.errors import ConfigurationError
from harness.plain import one_line
from harness.scenarios.naming import is_own, scenario_id

# Scenario -> what board or product lack for it; of those that the run would have had.
LEFT_OUT = pytest.StashKey[dict[str, str]]()
_SECONDS = 300.0  # on a host that has much else to do
# It ends when it has answered, whatever threads a file has started.
_PROGRAM = "from harness.scenarios.collection import main; main(); import os; os._exit(0)"
_HINT = "a scenario file must only define tests when it is imported"
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What was found: scenarios of the harness and of the product, by id, and those that are left
    out with the reasons. `broken`: files that cannot be collected."""

    __pydantic_config__: ClassVar[ConfigDict] = schema.STRICT
    code: int  # pytest's
    suite: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    broken: tuple[str, ...] = ()  # `file: what is wrong with it`
    raised: str = ""  # what ended it, where it has not ended by itself
    said: str = ""  # by pytest

    @property
    def parts(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The scenarios of the harness, and the product's own."""
        return self.suite, self.own


class Collected:
    """A pytest plugin for a process that only collects."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        self.broken: list[str] = []
        self.items: list[pytest.Item] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Called for each file."""
        if report.failed:
            told = [
                line[1:].strip() for line in report.longreprtext.splitlines() if line[:1] == "E"
            ]
            last = told[-1] if told else report.longreprtext.strip().splitlines()[-1]
            self.broken.append(f"{report.nodeid}: {one_line(last)}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Called when all is collected."""
        self.left_out = session.config.stash.get(LEFT_OUT, {})
        self.items = list(session.items)

    def found(self, code: int) -> Collection:
        """All of it; `code` is pytest's."""
        ours = [scenario_id(each) for each in self.items if not is_own(each)]
        own = [scenario_id(each) for each in self.items if is_own(each)]
        return Collection(
            code=code,
            suite=tuple(ours),
            own=tuple(own),
            left_out=self.left_out,
            broken=tuple(self.broken),
        )


def collect(words: Sequence[str]) -> Collection:
    """What pytest collects for these words. ConfigurationError for a scenario file that ends the
    process, keeps it from ending, or cannot be imported."""
    with tempfile.TemporaryDirectory(prefix="collected-") as folder:
        answer = Path(folder) / "answer.json"
        argv = [sys.executable, "-c", _PROGRAM, str(answer), *words]
        done = process.run(argv, timeout=_SECONDS, error=ConfigurationError, check=False)
        said = _ESCAPES.sub("", done.stdout + done.stderr).strip()[-1000:]
        if not files.is_file(answer):
            raise ConfigurationError(
                f"scenarios cannot be collected: exit code {done.returncode}",
                details=said,
                hint=_HINT,
            )
        found = schema.from_json(Collection, files.read(answer), what="collected scenarios")
    if found.raised:
        raise ConfigurationError(
            f"scenarios cannot be collected: {found.raised}", details=said, hint=_HINT
        )
    if found.broken:
        raise ConfigurationError.of(
            "harness test",
            found.broken,
            hint="a file of scenarios is imported before any scenario runs: mend it, or move it",
        )
    return replace(found, said=said)


def main() -> None:
    """Collect, and write down what was found; of the process that `collect` starts."""
    answer, *words = sys.argv[1:]
    collected = Collected()
    try:
        found = collected.found(pytest.main(words, plugins=[collected]))
    except (Exception, SystemExit) as error:  # files of a product can do anything
        told = one_line(f"{type(error).__name__}: {error}")
        found = Collection(code=int(pytest.ExitCode.INTERNAL_ERROR), raised=told)
    files.write_whole(Path(answer), schema.to_bytes(schema.to_data(found)))
    sys.stdout.flush()
    sys.stderr.flush()
