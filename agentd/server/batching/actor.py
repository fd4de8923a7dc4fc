"""The acting half of an agent: the newest weights, one forward pass, ε-greedy choice."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Backend
from agentd.engine.layers import Dense, Relu
from agentd.engine.network import Network, Pass
from agentd.engine.optim.spec import Evidence
from agentd.engine.replay.rows import BinGrowth, RowFormat
from agentd.engine.rules.exploration import ExplorationConfig, act, act_boltzmann, greedy, uniforms
from agentd.memory.played import EXPLORED
from agentd.protocol.rows import TERMINATED
from agentd.protocol.schema import Schema, raw_to_features
from agentd.server.batching.holds import Holds
from agentd.server.batching.question import LONG_S, Question, rows_of

_BLOCK_ROWS = 1024
_NOISE_ROWS = 64
"""Consecutive rows that share the noise of the noisy layers."""
_WARM_UP_ROWS = (1, 2, 4, 8, 16)
"""Batches that between them use every kernel a forward pass may need."""


def build_kernels(backend: Backend) -> None:
    """Build the kernels that dense networks act with: seconds, once for each machine."""
    network = Network(Dense(96), Relu(), Dense(8), input_shape=(8,))
    run, params = Pass(network, backend, _WARM_UP_ROWS[-1]), backend.zeros((network.n_params,))
    for rows in _WARM_UP_ROWS:
        backend.to_host(run.forward(params, np.zeros((rows, 8), np.float32)))


@dataclass(frozen=True, slots=True)
class Choice:
    """The answers to a batch: action (N, branches) int32, -1 on ended rows; q (N, A) float32.

    explored (N,) uint8 as rows keep it: bits of `agentd.memory.played`; evidence as of `Actor`;
    memory (N, S): what a network that remembers leaves to each stream's next row, else None.
    """

    action: NDArray[np.int32]
    explored: NDArray[np.uint8]
    q: NDArray[np.float32]
    version: int
    evidence: Evidence | None = None
    memory: NDArray[np.float32] | None = None


class Actor:
    """Chooses actions for raw rows.

    ``weights`` is the host copy of the parameters (P,); call ``publish`` after writing to it.
    ``format`` says how an input is made where that takes more than one row. ``holds`` is None for
    agents that decide anew in every row. ``growth``: which actions there are yet. ``evidence`` says
    what makes evidence of the outputs of a classifier that gathers any; None for all others.
    ``long_rows``: as many rows or more make a pass of ``LONG_S`` seconds, measured by ``warm_up``.
    """

    def __init__(
        self,
        schema: Schema,
        network: Network,
        backend: Backend,
        exploration: ExplorationConfig,
        seed: int,
        capacity: int,
        format: RowFormat | None = None,
        growth: BinGrowth | None = None,
    ) -> None:
        self.network = network
        self.weights = np.zeros(network.n_params, np.float32)
        self.version = 0
        self._schema = schema
        self._backend = backend
        self._exploration, self._since = exploration, 0
        self._seed = seed
        self._params = backend.asarray(self.weights)
        self._pass = Pass(network, backend, capacity)
        self._noisy: Pass | None = None
        if exploration.kind == "noisy":
            self._noisy = Pass(network, backend, _NOISE_ROWS, seed=seed, noisy=True)
        self._format = format
        self._stack, self.growth = 1 if format is None else format.stack, growth
        self.evidence: Evidence | None = None
        self.holds: Holds | None = None
        if exploration.hold:
            self.holds = Holds(exploration.hold, schema.branches, seed)
        self._n_draws = 1 + len(schema.branches) if self.holds is None else self.holds.draws
        self._block: NDArray[np.float64] = np.empty((0, 1))
        self._block_start = 0
        self.long_rows = sys.maxsize
        self._turn = 0  # grows with new weights or another seed: results of before are out of date
        self._ahead: tuple[int, Question, NDArray[np.float32]] | None = None

    @property
    def needs_streams(self) -> bool:
        """True when ε differs from stream to stream."""
        return self._exploration.spread != 0.0

    def publish(self, version: int) -> None:
        """Act with what ``weights`` now holds."""
        self.version = version
        self._backend.write(self._params, self.weights)
        self._turn += 1

    def warm_up(self) -> None:
        """Act for few rows and for many, so that no game waits for the cost of first use.

        On a device that is building kernels, which may take seconds; a batch's size decides which.
        On the host, what the second time takes tells how many rows make a long pass. A device's
        kernels are for one thread; its passes stay on the event loop.
        """
        most = min(_WARM_UP_ROWS[-1], self._pass.capacity)
        blank = np.zeros((most * self._stack, self._schema.row_bytes), np.uint8)
        length = 0 if self._format is None else self._format.last_actions
        none = np.full((most, length, len(self._schema.branches)), -1, np.int32)
        took = {}
        for rows in [rows for rows in _WARM_UP_ROWS if rows <= most] + [1, most]:
            began = time.thread_time()
            self.values(blank[: rows * self._stack], none[:rows])
            took[rows] = time.thread_time() - began
        if self._on_host:
            self.long_rows = rows_of(LONG_S, took[1], took[most], most)
        if self._noisy is not None:
            self._noisy_values(self._noisy, blank[: self._stack], none[:1], 0)

    def explore(self, exploration: ExplorationConfig, since: int) -> None:
        """Explore from now on by a schedule of the same kind, begun at ``since`` env steps."""
        self._exploration, self._since = exploration, since

    def reseed(self, seed: int) -> None:
        """Draw what is explored, from the next row on, by another seed."""
        if seed != self._seed:
            self._seed, self._block, self._turn = seed, np.empty((0, 1)), self._turn + 1
        if self.holds is not None:
            self.holds.seed = seed

    def epsilon(self, env_steps: int) -> float:
        """ε after ``env_steps`` environment steps."""
        return self._exploration.epsilon(env_steps - self._since)

    def values(
        self,
        obs: NDArray[np.uint8],
        played: NDArray[np.int32] | None = None,
        memory: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """The network's outputs (N, A) for raw rows (N K, row_bytes), as a copy.

        K rows make one input where the agent stacks them, and the actions played before it,
        (N, L, branches), where it has these in its input; ``memory`` (N, S) is what the rows before
        these left, None for nothing.
        """
        return self._forward(self._pass, obs, played, memory)

    def _forward(
        self,
        run: Pass,
        obs: NDArray[np.uint8],
        played: NDArray[np.int32] | None,
        memory: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        if self._format is None:
            x = raw_to_features(self._schema, obs)
        else:
            x = np.empty((len(obs) // self._format.stack, self._format.features), np.float32)
            self._format.decode(obs, x, played)
        x = x.reshape(len(x), *self.network.input_shape)
        return self._backend.to_host(run.forward(self._params, x, memory=memory))

    @property
    def reads_rows(self) -> bool:
        """True when the network reads float32 rows from the host's memory as they are."""
        return self._on_host and self.network.input_kind == "float" and not self.network.memory

    @property
    def _on_host(self) -> bool:
        """True when the network computes with float32 numbers in the host's memory."""
        return isinstance(self._params, np.ndarray) and self._params.dtype == np.float32

    def input(self, rows: int) -> NDArray[np.float32]:
        """Where so many rows are put for ``best``, (rows, *input); only if ``reads_rows``."""
        x: NDArray[np.float32] = self._pass.input(self._params, rows)  # type: ignore[assignment]
        return x

    def best(self, x: NDArray[np.float32]) -> NDArray[np.int32]:
        """The greedy action of each row of ``input``'s array with every action legal, (rows,)."""
        q: NDArray[np.float32] = self._pass.forward(self._params, x)  # type: ignore[assignment]
        best: NDArray[np.int32] = q.argmax(axis=1).astype(np.int32)
        return best

    def act(
        self,
        obs: NDArray[np.uint8],
        mask: NDArray[np.uint8] | None,
        kind: NDArray[np.uint8],
        stream: NDArray[np.int64] | None,
        streams: NDArray[np.int64] | int,
        learned: int,
        first_row: int,
        env_steps: int,
        *,
        played: NDArray[np.int32] | None = None,
        slot: NDArray[np.int64] | None = None,
        memory: NDArray[np.float32] | None = None,
    ) -> Choice:
        """Choose for N rows; the first ``learned`` of them explore, the others are greedy.

        ``first_row`` is the absolute index that the first learned row will have: exploration
        depends on it, the seed, and what the row's stream holds, never on which rows share the
        batch. ``slot`` (N,) is each row's stream among all sessions, needed where actions are held;
        ``played``, ``memory``: see ``values``.
        """
        q = self._outputs(Question(obs, played, learned, first_row, memory))
        n, branches = len(kind), self._schema.branches
        mask = self.legal(mask, first_row, env_steps, n)
        lone = self._exploration.kind != "boltzmann" and n == len(branches) == 1
        if lone and mask is None and stream is None:
            at = -1 if slot is None else int(slot[0])
            return self._lone(q, int(kind[0]), learned, first_row, env_steps, at)
        explored = np.zeros(n, np.uint8)
        action = np.empty((n, len(branches)), np.int32)
        if learned:
            part = slice(0, learned)
            epsilon = partial(self._row_epsilon, env_steps, stream, streams, learned)
            legal = None if mask is None else mask[part]
            found = self._explore(q[part], legal, first_row, env_steps, epsilon)
            action[part], explored[part] = found
            if self.holds is not None:
                assert slot is not None
                u = self._draws(first_row, learned)[:, -1]
                self.holds.apply(slot[part], kind[part], legal, action[part], explored[part], u)
        if learned < n:
            rest, at = slice(learned, n), 0
            for b, width in enumerate(branches):
                legal = None if mask is None else mask[rest, at : at + width]
                action[rest, b] = greedy(q[rest, at : at + width], legal)
                at += width
        if max(kind.tobytes()) >= TERMINATED:
            ended = kind >= TERMINATED
            action[ended] = -1
            explored[ended] = 0
        return Choice(action, explored, q, self.version, self.evidence, self._left())

    def _left(self) -> NDArray[np.float32] | None:
        """What the rows of the last pass leave to those after them, (N, S)."""
        return self._pass.memory_after() if self.network.memory else None

    @property
    def branches(self) -> tuple[int, ...]:
        """How many actions each branch has."""
        return self._schema.branches

    def legal(
        self, mask: NDArray[np.uint8] | None, first_row: int, env_steps: int, rows: int
    ) -> NDArray[np.uint8] | None:
        """Return the mask (rows, A) of those of ``mask`` that there are yet; see ``act``."""
        if self.growth is None:
            return mask
        return self.growth.limit(mask, max(first_row, env_steps), rows)

    def look_ahead(self, question: Question) -> None:
        """Run the network in advance. If ``act`` then asks the same question, it uses the result.

        This may run in another thread. Meanwhile ``publish`` and ``reseed`` may be called, and no
        method that runs the network.
        """
        turn = self._turn
        self._ahead = turn, question, self._outputs(question)

    def _outputs(self, question: Question) -> NDArray[np.float32]:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == self._turn and ahead[1].equals(question):
            return ahead[2]
        obs, played, learned = question.obs, question.played, question.learned
        q = self.values(obs, played, question.memory)
        if self._noisy is not None and learned:
            seen = obs[: learned * self._stack]
            q[:learned] = self._noisy_values(self._noisy, seen, played, question.first_row)
        return q

    def _explore(
        self,
        q: NDArray[np.float32],
        mask: NDArray[np.uint8] | None,
        first_row: int,
        env_steps: int,
        epsilon: Callable[[], NDArray[np.float64]],
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Actions (N, branches) and (N,) 1 where a row explored, by the agent's exploration."""
        u, branches = self._draws(first_row, len(q)), self._schema.branches
        if self._exploration.kind == "boltzmann":
            temperature = self._exploration.temperature(env_steps - self._since)
            return act_boltzmann(q, mask, branches, temperature, u)
        chance = epsilon()
        if self.holds is not None:
            chance = self.holds.lengths.chance(chance)
        return act(q, mask, branches, chance, u)

    def _lone(
        self,
        q: NDArray[np.float32],
        kind: int,
        learned: int,
        first_row: int,
        env_steps: int,
        slot: int,
    ) -> Choice:
        """``act`` for one row with everything legal: the same choice in a third of the time."""
        chosen, explored = int(q.argmax()), 0
        if kind >= TERMINATED:
            chosen = -1
        elif learned:
            coin, pick, *length = self._draws(first_row, 1)[0].tolist()
            chance = self.epsilon(env_steps)
            if self.holds is not None:
                chance = self.holds.lengths.chance(chance)
            if coin < chance:
                chosen, explored = int(pick * q.shape[1]), EXPLORED
            if self.holds is not None:
                chosen, explored = self.holds.apply_one(slot, kind, chosen, explored, length[0])
        action = np.array([[chosen]], np.int32)
        found = np.array([explored], np.uint8)
        return Choice(action, found, q, self.version, self.evidence, self._left())

    def _noisy_values(
        self,
        run: Pass,
        obs: NDArray[np.uint8],
        played: NDArray[np.int32] | None,
        first_row: int,
    ) -> NDArray[np.float32]:
        """Outputs (N, A) for N consecutive rows with noise that is drawn anew every _NOISE_ROWS.

        Which noise a row gets depends on its absolute index and the seed, as all exploration does.
        """
        parts, at, rows = [], 0, len(obs) // self._stack
        while at < rows:
            block, begun = divmod(first_row + at, _NOISE_ROWS)
            upto = min(rows, at + _NOISE_ROWS - begun)
            run.set_state({"seed": self._seed, "calls": block})
            before = None if played is None else played[at:upto]
            parts.append(self._forward(run, obs[at * self._stack : upto * self._stack], before))
            at = upto
        return np.concatenate(parts)

    def _draws(self, first_row: int, rows: int) -> NDArray[np.float64]:
        """Numbers in [0, 1) for consecutive rows, drawn a block at a time.

        (rows, 1 + branches), and one more where actions are held.
        """
        start = first_row - self._block_start
        if not 0 <= start <= len(self._block) - rows:
            block = np.arange(first_row, first_row + max(_BLOCK_ROWS, rows))
            self._block = uniforms(self._seed, block, self._n_draws)
            self._block_start, start = first_row, 0
        return self._block[start : start + rows]

    def _row_epsilon(
        self,
        env_steps: int,
        stream: NDArray[np.int64] | None,
        streams: NDArray[np.int64] | int,
        learned: int,
    ) -> NDArray[np.float64]:
        if stream is None:
            return np.full(learned, self.epsilon(env_steps))
        steps = env_steps - self._since
        return self._exploration.row_epsilon(steps, stream[:learned], int(np.max(streams)))
