"""Protocol 1, sans-IO: PROTOCOL.md beside the package is the text for client authors."""
