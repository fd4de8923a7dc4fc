"""Searching for a move: the tree, forced mates, captures and endings."""
