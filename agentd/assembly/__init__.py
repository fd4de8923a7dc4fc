"""From an agent's configuration to the parts of the engine: its network, weights and learner."""
