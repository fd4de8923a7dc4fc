"""Which agents can share a learner, and how often rows and weights travel."""

from agentd.config import AgentConfig, ConfigError
from agentd.config.records import SharedLearnerConfig, unshareable

SMALL_BYTES = 90_000
"""Weights of a network up to here travel by value in a millisecond."""
SMALL_EVERY_S, LARGE_EVERY_S = 0.05, 0.25


def require_shareable(config: AgentConfig, name: str) -> None:
    """Raise ConfigError, with the reason, for an agent whose learner needs one daemon."""
    if why := unshareable(config):
        raise ConfigError(f"agent {name}: {why}")


def learner_command(shared: SharedLearnerConfig | None) -> tuple[str, ...]:
    """The module that runs in an agent's learner's place, and its first arguments."""
    if shared is None:
        return ("agentd.learner",)
    carrier, _, address = shared.address.partition(":")
    module = ("agentd.replicas", "relay") if carrier == "unix" else ("agentd.cluster",)
    every: tuple[str, ...] = ("--rows-every", str(shared.rows_every_s))
    if shared.weights_every_s is not None:
        every += ("--weights-every", str(shared.weights_every_s))
    return (*module, "--learner", address, *every)


def weights_every_s(asked: float | None, n_params: int) -> float:
    """Seconds between two looks for new weights: as asked, or by the network's size."""
    if asked is not None:
        return asked
    return SMALL_EVERY_S if 4 * n_params < SMALL_BYTES else LARGE_EVERY_S
