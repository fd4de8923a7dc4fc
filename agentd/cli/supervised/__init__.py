"""``agentd train``, ``test``, ``data`` and the commands about model files."""
