"""Losses, optimizers and learning-rate schedules."""

from agentd.engine.optim.optimizers import RULES, Optimizer, make_optimizer, own_defaults

__all__ = ["RULES", "Optimizer", "make_optimizer", "own_defaults"]
