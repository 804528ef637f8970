"""One crash state, for a person."""
