"""One Q-learning run as a user does it: a daemon, players over TCP, evaluations."""
