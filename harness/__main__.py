"""`python -m harness`: the command line, for processes that the harness starts of itself."""

from harness.cli import main

main()
