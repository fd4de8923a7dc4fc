"""Commands that take trained weights out of agentd and bring them in."""
