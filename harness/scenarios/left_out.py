"""Which scenarios a run leaves out, and why: the plugin says, the runner keeps it as evidence."""

import pytest

# Scenario -> what board or product lack for it; of those that the run would have had.
LEFT_OUT = pytest.StashKey[dict[str, str]]()


class Collected:
    """A pytest plugin for a process that only collects."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Called when all is collected."""
        self.left_out = session.config.stash.get(LEFT_OUT, {})
