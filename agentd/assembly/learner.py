"""From an agent's configuration to the learner that the engine has for it."""

from typing import Any

from agentd.assembly.weights import initial_weights
from agentd.config import AgentConfig
from agentd.engine.backend import Backend
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import NOMINAL_DT_S
from agentd.engine.learners.learner import Learner
from agentd.engine.learners.pqn import PqnLearner
from agentd.engine.learners.recurrent import RecurrentDqnLearner
from agentd.engine.learners.searched import LookAhead
from agentd.engine.learners.stream_q import StreamQLearner
from agentd.engine.learners.supervised import SupervisedLearner
from agentd.engine.network import Network
from agentd.engine.optim import make_optimizer
from agentd.engine.replay.held_out import FIRST_HELD_OUT, HeldOut
from agentd.engine.replay.rows import RowFormat
from agentd.engine.replay.transitions import check_n_step
from agentd.simulated import look_ahead


def learner_for(
    config: AgentConfig,
    network: Network,
    backend: Backend,
    format: RowFormat,
    dt_s: float = NOMINAL_DT_S,
) -> Learner[Any]:
    """Return a learner at its first weights; ``dt_s`` are the seconds between a game's rows.

    Raises NStepTooLong when n steps do not fit into the ring, ModelError where its game is not the
    one that it searches in, ValueError when nothing learns.
    """
    weights, seed = initial_weights(config, network), config.seed
    optimizer = make_optimizer(config.optimizer, backend, network.n_trainable)
    given = network, backend, optimizer, format
    window, reward = config.pace.train_every, config.reward
    match config.learner:
        case "dqn":
            check_n_step(config.dqn.n_step, config.replay.capacity)
            if network.memory:
                return RecurrentDqnLearner(
                    *(*given, config.dqn, seed, weights),
                    loss=config.loss,
                    reward=reward,
                    dt_s=dt_s,
                )
            return DqnLearner(
                *given,
                config.dqn,
                seed,
                weights,
                loss=config.loss,
                reward=reward,
                demonstrations=config.demonstrations,
                dt_s=dt_s,
                held_out=held_out_of(config),
                look_ahead=_look_ahead_of(config, format, dt_s),
            )
        case "pqn":
            return PqnLearner(
                *given, config.pqn, seed, weights, window=window, loss=config.loss, reward=reward
            )
        case "stream_q":
            return StreamQLearner(
                network,
                backend,
                format,
                config.stream_q,
                seed,
                weights,
                window=window,
                reward=reward,
            )
        case "supervised":
            return SupervisedLearner(*given, config.supervised, seed, weights, loss=config.loss)
        case _:
            raise ValueError(f"an agent with learner {config.learner!r} learns nothing")


def held_out_of(config: AgentConfig) -> HeldOut | None:
    """Return which rows a live learner does not train on; None where it trains on all of them.

    A ring too small for twenty blocks holds nothing out: one of them would be too much of it.
    """
    if config.pace.mode != "live" or config.replay.capacity < FIRST_HELD_OUT:
        return None
    steps = max(config.dqn.n_step, config.demonstrations.n_step)
    return HeldOut(config.seed, steps, max(config.dqn.frame_stack, config.dqn.last_actions + 1))


def _look_ahead_of(config: AgentConfig, format: RowFormat, dt_s: float) -> LookAhead | None:
    """Return the search for targets, each move of which costs what a row does; None without one."""
    search = config.dqn.search
    return None if search is None else look_ahead(search, format, abs(config.dqn.per_row(dt_s)))
