"""A trained policy taken out of agentd: one description of what it computes, one writer a format."""
