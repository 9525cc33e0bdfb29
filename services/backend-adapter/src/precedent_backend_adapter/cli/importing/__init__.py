"""The import of a file: its lines, its journal and the run."""
