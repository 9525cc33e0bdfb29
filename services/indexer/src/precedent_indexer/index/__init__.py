"""The index on disk: its generations, its watermark, its log, and what lies beside the store."""
