"""``agentd cluster`` and the options of commands that may work on a Ray cluster."""
