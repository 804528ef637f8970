"""How releases are made: each builder in a room of its own."""
