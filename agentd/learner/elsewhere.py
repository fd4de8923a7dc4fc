"""What a daemon knows of the others that share its learner."""

from collections.abc import Callable
from typing import Any


class Elsewhere:
    """The other daemons' part, as the relay says it; nothing where the learner is a daemon's own.

    env_steps  rows that got an action there
    facts      what else is said, for ``stats``: replica, replicas, relay_lost_rows
    on_number  called with this daemon's number among them
    """

    def __init__(self) -> None:
        self.env_steps = 0
        self.facts: dict[str, int] = {}
        self.on_number: Callable[[int], None] | None = None

    def take(self, event: dict[str, Any]) -> None:
        """Take a relay's event ``shared``."""
        self.env_steps = event["env_steps"]
        self.facts = {k: v for k, v in event.items() if k not in ("event", "env_steps")}
        if self.on_number is not None:
            self.on_number(event["replica"])
