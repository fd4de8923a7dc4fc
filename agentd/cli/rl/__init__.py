"""``agentd rl`` and ``agentd demo``: Q-learning on games, shown in the terminal."""
