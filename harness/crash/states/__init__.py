"""Crash states: cut points of a log as content."""
