"""From an event or an outcome to an acknowledged message of the log."""
