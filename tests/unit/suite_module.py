"""Modules of the suite, for tests that call what is in them."""

import importlib
from typing import Any

import pytest

from harness.scenarios.plugin import MARKERS


def suite_module(config: pytest.Config, name: str) -> Any:
    """A module of `harness.scenarios.suite`, with its plugin's marks known to this pytest."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    return importlib.import_module(f"harness.scenarios.suite.{name}")
