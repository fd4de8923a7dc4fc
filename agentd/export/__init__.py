"""A trained policy out of agentd: one description of what it computes, one writer a format."""
