"""From an agent's configuration to the learner that the engine has for it."""

from __future__ import annotations

from typing import Any

from agentd.assembly.first_weights import initial_weights
from agentd.assembly.network import distribution_for
from agentd.config import AgentConfig, records
from agentd.engine.backend import Backend
from agentd.engine.learners.descent import Learner
from agentd.engine.learners.dqn import DqnLearner
from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.learners.pqn import PqnConfig, PqnLearner
from agentd.engine.learners.stream_q import StreamQConfig, StreamQLearner
from agentd.engine.learners.supervised import SupervisedConfig, SupervisedLearner
from agentd.engine.network import Network
from agentd.engine.optim import make_optimizer
from agentd.engine.replay.priorities import PriorityConfig
from agentd.engine.replay.rewards import RewardConfig
from agentd.engine.replay.rows import RowFormat, check_n_step

__all__ = ["learner_for"]


def learner_for(
    config: AgentConfig, network: Network, backend: Backend, format: RowFormat
) -> Learner[Any]:
    """Return a learner at its first weights.

    Raises NStepTooLong when n steps do not fit into the ring, ValueError when nothing learns.
    """
    weights, seed = initial_weights(config, network), config.seed
    optimizer = make_optimizer(config.optimizer, backend, network.n_trainable)
    given = network, backend, optimizer, format
    match config.learner:
        case "dqn":
            check_n_step(config.dqn.n_step, config.replay.capacity)
            return DqnLearner(*given, _dqn(config), seed, weights)
        case "pqn":
            return PqnLearner(*given, _pqn(config), seed, weights)
        case "stream_q":
            return StreamQLearner(network, backend, format, _stream_q(config), seed, weights)
        case "supervised":
            supervised = SupervisedConfig(
                target=config.supervised.target,
                loss=config.loss,
                batch=config.supervised.batch,
                clip_norm=config.supervised.clip_norm,
            )
            return SupervisedLearner(*given, supervised, seed, weights)
        case _:
            raise ValueError(f"an agent with learner {config.learner!r} learns nothing")


def _dqn(config: AgentConfig) -> DqnConfig:
    return DqnConfig(
        gamma=config.dqn.gamma,
        alternating=config.dqn.alternating,
        n_step=config.dqn.n_step,
        double=config.dqn.double,
        batch=config.dqn.batch,
        target_every=config.dqn.target.every,
        target_tau=config.dqn.target.tau,
        clip_norm=config.dqn.clip_norm,
        loss=config.loss,
        distribution=distribution_for(config.dqn),
        priority=_priority(config.dqn.priority) if config.dqn.prioritized else None,
        reward=_reward(config),
    )


def _priority(config: records.PriorityConfig) -> PriorityConfig:
    return PriorityConfig(
        alpha=config.alpha,
        beta=config.beta,
        beta_steps=config.beta_steps,
        epsilon=config.epsilon,
    )


def _pqn(config: AgentConfig) -> PqnConfig:
    return PqnConfig(
        gamma=config.pqn.gamma,
        lambda_=config.pqn.lambda_,
        window=config.pace.train_every,
        minibatches=config.pqn.minibatches,
        clip_norm=config.pqn.clip_norm,
        loss=config.loss,
        max_policy_lag=config.pqn.max_policy_lag,
        reward=_reward(config),
    )


def _stream_q(config: AgentConfig) -> StreamQConfig:
    return StreamQConfig(
        gamma=config.stream_q.gamma,
        lambda_=config.stream_q.lambda_,
        lr=config.stream_q.lr,
        kappa=config.stream_q.kappa,
        reward=_reward(config),
        window=config.pace.train_every,
        traces=config.stream_q.traces,
        max_policy_lag=config.stream_q.max_policy_lag,
    )


def _reward(config: AgentConfig) -> RewardConfig:
    given = config.reward
    return RewardConfig(scale=given.scale, clip=given.clip, normalize=given.normalize)
