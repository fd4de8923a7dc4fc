"""Games and puzzles from files: reading, filtering, packing and batching."""
