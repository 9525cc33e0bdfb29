"""What people type: each command asks the indexer that is running, or works alone when none is."""
