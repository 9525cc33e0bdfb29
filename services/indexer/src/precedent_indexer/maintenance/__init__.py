"""What keeps an index right over time: rebuild, verify, retention, housekeeping, watchdog."""
