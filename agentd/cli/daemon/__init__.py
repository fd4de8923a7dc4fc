"""Commands that run a daemon, watch it, configure it and look at the machine."""
