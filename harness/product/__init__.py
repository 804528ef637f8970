"""What is under test: a release of a product, its layout and promises, whoever built it."""
