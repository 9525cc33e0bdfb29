"""What the commands write: tables, JSON and text that is safe for a terminal."""
