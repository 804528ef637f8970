"""Which crash states must end alike."""
