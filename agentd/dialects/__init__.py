"""Protocols of others, as pure state machines: their bytes in, rows of ours out, and back."""
