"""Threads, priorities, locks, jobs and shutdown."""
