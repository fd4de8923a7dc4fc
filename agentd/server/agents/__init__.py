"""Agents on disk and in memory: the registry, and how an agent is built."""
