"""Greedy episodes of an agent, played over TCP."""

from agentd.client import rollout
from agentd.rl.games import open_game
from agentd.rl.scores import Scores

MAX_STREAMS = 32
RETRY_S = 2.0  # a daemon of our own that stays away for longer has failed


def play_greedily(
    address: tuple[str, int], agent: str, game: str, episodes: int, seed: int
) -> Scores:
    """Play ``episodes`` episodes with role eval; nothing of them is learned."""
    table = open_game(game, min(episodes, MAX_STREAMS), seed)
    with rollout.join(address, agent, table, role="eval", retry_for=RETRY_S) as client:
        found = rollout.evaluate(client, table, episodes)
    return Scores(tuple(float(total) for total in found.totals))
