"""Playing: opponents, matches and the UCI protocol."""
