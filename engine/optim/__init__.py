"""Losses, optimizers and learning-rate schedules."""

from agentd.engine.optim.optimizers import RULES, Optimizer, make_optimizer

__all__ = ["RULES", "Optimizer", "make_optimizer"]
