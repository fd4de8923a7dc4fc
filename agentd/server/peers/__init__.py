"""Connections: bytes in and out, the handshake, operations and deadlines."""
