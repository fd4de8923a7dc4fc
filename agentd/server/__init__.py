"""The daemon's serving process: connections, sessions, batches, agents, operations."""

from agentd.server.server import Server

__all__ = ["Server"]
