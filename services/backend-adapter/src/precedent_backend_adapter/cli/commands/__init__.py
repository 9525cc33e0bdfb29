"""The commands of `precedent`, one module for each group."""
