"""What an agent that searches for its targets must be like, beyond what ``DqnConfig`` says."""

from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.replay.rewards import UNSHAPED, RewardConfig
from agentd.simulated import check_simulated


def check_search(dqn: DqnConfig, reward: RewardConfig) -> None:
    """Raise ValueError where ``dqn.search`` names no game to search in, or rewards are shaped."""
    if dqn.search is None:
        return
    check_simulated(dqn.search.game)
    if reward != UNSHAPED:
        raise ValueError(
            f"dqn.search wants `reward` as it is without an entry, got {reward}: a search counts "
            "a win as 1 and a loss as -1"
        )
