"""Positions as numbers: bitboards, moves, features and the value of a position."""
