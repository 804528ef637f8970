"""All searches of this folder share the time that there is."""

import pytest

from tests.unit.law import lawful


def pytest_collection_finish(session: pytest.Session) -> None:
    lawful.SHARES = max(1, sum("/law/" in item.path.as_posix() for item in session.items))
