"""Puts the parts together: start, run, the active index, and how another index takes its place."""
