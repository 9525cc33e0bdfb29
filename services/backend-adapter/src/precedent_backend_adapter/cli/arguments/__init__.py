"""What people type: options, values and texts."""
