"""The index on disk: its generations, the watermark, the log it belongs to, and erasure marks."""
