"""Rows of experience: how they are laid out, sampled, weighted and read as transitions."""
