"""The virtual bench: plays a rack on loopback, which shows to the outside what a real one shows."""
