"""What a process that only collects finds: which scenarios a run leaves out and why, and files that
cannot be collected. The plugin says the first, pytest the second, the runner tells both."""

import pytest

from harness.plain import one_line

# Scenario -> what board or product lack for it; of those that the run would have had.
LEFT_OUT = pytest.StashKey[dict[str, str]]()


class Collected:
    """A pytest plugin for a process that only collects."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        self.broken: list[str] = []  # `file: what is wrong with it`

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
