"""Whether a client, or an environment, keeps the rules: what is looked at, and the verdicts."""
