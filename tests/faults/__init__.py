"""Fault tests: real processes are killed, cut, filled and corrupted, and one invariant must hold every time."""
