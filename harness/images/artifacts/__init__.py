"""Update artifacts: one module for each update client."""
