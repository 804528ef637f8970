"""Each part of a bench looked at, cheap to dear, with what to do about it."""
