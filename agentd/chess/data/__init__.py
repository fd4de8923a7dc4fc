"""From lichess dumps and puzzles to shards and lessons."""
