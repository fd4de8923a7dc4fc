"""An agent's life on disk: its states, and what a missing or damaged file of it means.

    state       what it is                                     goes to
    creating    config.yaml, and nothing learned; no game has  ready at its first hello; nothing is
                bound it                                       left where that fails
                or .new-NAME: made aside of another agent, or  ready once all of it is on disk; else
                of itself (copy, migrate, reset)               nothing is left, or what was before
    ready       all that it needs is whole                     degraded, refused, deleted
    degraded    it plays; what was lost is in ``lost`` of      ready, once opened again with
                `stats` and in the log                         nothing missing
    refused     hello and operations name the file; delete     ready, once the file is back
                works
    deleted     gone; a folder .deleted-NAME that a crash      (nothing)
                left is removed at the next start

What is lost is never taken for what is new: an agent that has checkpoints or rows is not created
again, and weights are drawn by the seed only where none were ever learned, or with a word.
"""

import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from agentd.memory.ring_writer import RingWriter
from agentd.memory.weight_board import WeightBoard
from agentd.store import Checkpoint

log = logging.getLogger("agentd.life")


class Life(StrEnum):
    """Where an agent stands."""

    CREATING = "creating"
    READY = "ready"
    DEGRADED = "degraded"
    REFUSED = "refused"
    DELETED = "deleted"


class Meaning(NamedTuple):
    """What it means that a file of an agent which has learned is missing, or is damaged."""

    missing: Life
    damaged: Life
    then: str


FILES: Mapping[str, Meaning] = {
    "config.yaml": Meaning(
        Life.REFUSED, Life.REFUSED, "put it back: manifest.json of a checkpoint holds it as well"
    ),
    "schema.json": Meaning(
        Life.REFUSED, Life.REFUSED, "put it back: manifest.json of a checkpoint holds it as well"
    ),
    "checkpoints": Meaning(
        Life.DEGRADED,
        Life.DEGRADED,
        "the one before, or the board's weights; where all are damaged it is refused, and where "
        "there are neither checkpoints nor a board it learns anew",
    ),
    "rows.ring": Meaning(
        Life.DEGRADED, Life.DEGRADED, "moved aside, an empty one begun; exploration goes on"
    ),
    "teach.ring": Meaning(Life.DEGRADED, Life.DEGRADED, "moved aside, an empty one begun"),
    "weights.board": Meaning(
        Life.READY, Life.DEGRADED, "a cache, made anew: the newest checkpoint goes on"
    ),
    "learner.lock": Meaning(Life.READY, Life.READY, "made anew"),
}
"""Every file of an agent's folder, by name."""


class Losses:
    """What was missing or damaged when an agent was opened: said in the log, kept for `stats`.

    notes  one line each; empty for an agent that is ready
    """

    def __init__(self, agent: str) -> None:
        self.notes: list[str] = []
        self._agent = agent

    def note(self, text: str) -> None:
        """Say that something was lost."""
        self.notes.append(text)
        log.error("lost agent=%s %s", self._agent, text)

    def note_checkpoint(self, found: Checkpoint | None) -> None:
        """Note the checkpoints that were passed over."""
        if found is None:
            return
        for name, why in found.skipped:
            self.note(f"checkpoint {name} is damaged: {why}; {found.name} goes on")

    def note_memory(
        self, found: Checkpoint | None, board: WeightBoard, ring: RingWriter, learn_start: int
    ) -> None:
        """Note weights that are not where they were."""
        source = "the first weights go on" if found is None else f"{found.name} goes on"
        if board.was_damaged:
            self.note(f"weights.board was damaged: {source}")
        if found is not None or ring.head <= learn_start:
            return
        newest = board.newest
        if newest is not None and newest.version > 0:
            self.note(f"no checkpoint is left: the weights of version {newest.version} go on")
        elif newest is None:
            self.note(f"no weights are left of {ring.head} rows: it learns anew")
