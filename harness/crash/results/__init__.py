"""What an exploration found: worked out, checked, reported."""
