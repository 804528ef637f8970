"""Public A/B designs, each put through what the harness has, and what was found: as data."""
