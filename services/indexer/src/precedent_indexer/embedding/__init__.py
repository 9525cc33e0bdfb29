"""From text to vector: scheduler, cache, model files and displacement of equal vectors."""
