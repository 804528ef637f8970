"""Boots of crash states, and what they decide."""
