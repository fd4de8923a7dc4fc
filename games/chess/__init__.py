"""Chess: its board, its data, its search and what a match needs."""
