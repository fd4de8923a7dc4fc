"""Commands that say whether a client, an environment or a recorded session is right."""
