"""Learners: what turns rows of experience into updates of a network's weights."""
