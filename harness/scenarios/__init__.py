"""Scenarios: each runs on any board of any lab and leaves a record with a verdict."""
