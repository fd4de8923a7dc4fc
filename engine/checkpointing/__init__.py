"""Activation checkpointing: which activations a pass keeps for backward, which it computes again.

A pass is recorded once with shapes alone (`tracing`). From that follow what each layer keeps and
costs, the choice of what to keep (`choice`), and where every buffer lies in shared memory
(`placement`). `plan` puts these together; `replay` records the real pass by the plan.
"""

from agentd.engine.checkpointing.plan import Ladder, MemoryPlan, plan_memory
from agentd.engine.checkpointing.spec import LayerCost, MemorySpec, Policy, PolicyFunction

__all__ = [
    "Ladder",
    "LayerCost",
    "MemoryPlan",
    "MemorySpec",
    "Policy",
    "PolicyFunction",
    "plan_memory",
]
