"""Tests of the harness, and the scenarios that it runs on boards."""
