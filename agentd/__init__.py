"""agentd: one TCP daemon that gives any game a mind."""

__version__ = "0.1.0"
