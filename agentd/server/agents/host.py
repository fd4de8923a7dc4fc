"""What an agent needs of the process that it lives in."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from agentd.config.records import LimitsConfig, SharedLearnerConfig
from agentd.memory.session_table import SessionTable
from agentd.server.batching.flush_queue import FlushQueue


@dataclass(frozen=True, slots=True)
class AgentHost:
    """The process around its agents.

    device   what the networks compute on, as `agentd devices` lists it
    flushes  calls an agent's ``flush`` once a turn of the event loop
    spawn    runs a coroutine for as long as the process serves
    clock    monotonic seconds
    table    sessions that outlive the process; None where no agent learns
    shared   where agents learn that share a learner with other daemons; None: below this one
    """

    device: str
    limits: LimitsConfig
    flushes: FlushQueue
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    clock: Callable[[], float]
    table: SessionTable | None = None
    shared: SharedLearnerConfig | None = None
