"""Further serving processes on the same port, and the channel between them."""
