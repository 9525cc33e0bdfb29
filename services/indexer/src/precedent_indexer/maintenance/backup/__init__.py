"""Backup and restore of the log and the index."""
