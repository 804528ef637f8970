"""From a fault to a verdict: what a device says, and what its medium says."""
