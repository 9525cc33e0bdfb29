"""Traces of what a client sends, if the backend traces."""
