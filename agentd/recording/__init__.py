"""Sessions as files: what was said on the wire, written as it is said, and said again."""
