"""Networks: layers in a row over one flat vector of parameters, and the pass that runs them."""

from agentd.engine.network.network import Network, Pass

__all__ = ["Network", "Pass"]
