"""One update as it was recorded: log, marks, digests."""
