"""The commands, as plain functions; `harness.cli` puts them together.

Parts are imported inside their command, so that `harness --help` is quick and a part that cannot
be loaded does not take the others with it.
"""
