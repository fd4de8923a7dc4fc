"""Any Gymnasium environment, or vector environment, as a game for ``play`` and ``evaluate``.

    game = GymGame(gymnasium.make("CartPole-v1"), seed=1)
    with join("127.0.0.1:7331", "cartpole", game) as client:
        for turn in play(client, game): ...

Whatever the autoreset mode, the server sees the final observation of every episode, knows whether
it was terminated or truncated, and never learns from a reset as if it were a step.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from agentd.client.choices import Actions
from agentd.client.game import GameFrame
from agentd.client.gym_checks import (
    Ask,
    SpaceReader,
    ask_single,
    ask_vector,
    numbers,
    one_number,
    read_reset,
    read_step,
)
from agentd.client.gym_facts import read_facts, split_info, tells_facts
from agentd.protocol.rows import FIRST, MID, TERMINATED, TRUNCATED

Rows = dict[str, NDArray[Any]]


class GymSpec(NamedTuple):
    """What the environment looks like."""

    name: str
    observation: Mapping[str, tuple[str, tuple[int, ...]]]
    actions: Actions


class GymGame:
    """A Gymnasium environment as one stream, or a vector environment as S streams.

    Observations: Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of them (see
    ``gym_spaces.leaves``), and actions likewise (see ``gym_actions.ActionCoder``). Masks
    are taken from the first of ``info["action_mask"]``, the observation's key of that name and the
    method ``action_masks()``; ``masks_in`` names it once there was one. An ``intervene_action`` in
    ``info`` is what a person played instead, and ``is_success`` tells of won episodes
    (``gym_facts``). What does not fit the spaces raises ``gym_spaces.Misfit``, a ValueError, from
    ``reset`` and ``step``.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any],
        seed: int | None = None,
        autoreset_mode: AutoresetMode | str | None = None,
    ) -> None:
        """Own ``env``; ``seed`` goes to its first reset.

        ``autoreset_mode`` is for vector environments that do not say it in their metadata. Raises
        TypeError for spaces that cannot be sent, such as unbounded actions, and ValueError when the
        autoreset mode is not known.
        """
        self._source: _Single | _Vector
        if isinstance(env, VectorEnv):
            reader = SpaceReader(env.single_observation_space, env.single_action_space)
            self._source = _Vector(env, reader, seed, _mode(env, autoreset_mode))
            self.streams = env.num_envs
        else:
            reader = SpaceReader(env.observation_space, env.action_space)
            self._source = _Single(env, reader, seed)
            self.streams = 1
        self.env = env
        self._reader, self._coder = reader, reader.coder
        self.spec = GymSpec(
            name=type(env.unwrapped).__name__ if env.spec is None else env.spec.id,
            observation={leaf.name: (leaf.dtype, leaf.shape) for leaf in reader.leaves},
            actions=self._coder.actions,
        )

    @property
    def masks_in(self) -> str:
        """The place where masks were found; "" as long as there was none."""
        return self._reader.masks_in

    def reset(self) -> GameFrame:
        """Begin a new episode in every stream."""
        return self._source.reset()

    def step(self, actions: NDArray[Any]) -> GameFrame:
        """Play (S,) or (S, H) actions, -1 or NaN where a stream has no episode under way."""
        return self._source.step(actions)

    def encode(self, action: Any) -> NDArray[Any]:
        """Return one environment's action as a ``take_over`` must give it. Raises Misfit."""
        return self._coder.encode_one(action)

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class _Single:
    """One environment: when an episode ends, the next begins in the same frame."""

    def __init__(self, env: gymnasium.Env[Any, Any], reader: SpaceReader, seed: int | None) -> None:
        self._env, self._reader, self._seed = env, reader, seed
        self._ask = ask_single(env)

    def reset(self) -> GameFrame:
        rows, mask = self._begin()
        return self._frame([FIRST], [0.0], rows, [mask])

    def step(self, actions: NDArray[Any]) -> GameFrame:
        action = self._reader.coder.decode_one(actions)
        obs, given, terminated, truncated, info = read_step(self._env.step(action))
        rows, mask = self._reader.single(obs), self._reader.find_mask(obs, info, self._ask)
        reward = one_number(given)
        if not (terminated or truncated):
            return self._told(self._frame([MID], [reward], rows, [mask]), info, actions)
        first, first_mask = self._begin()
        both = {name: np.concatenate((rows[name], first[name])) for name in rows}
        end = TERMINATED if terminated else TRUNCATED
        frame = self._frame([end, FIRST], [reward, 0.0], both, [mask, first_mask])
        return self._told(frame, info, actions)

    def _told(self, frame: GameFrame, info: dict[str, Any], actions: NDArray[Any]) -> GameFrame:
        """Return ``frame`` with what ``info`` says of its first row."""
        if not tells_facts(info):
            return frame
        return frame._replace(facts=read_facts(self._reader.coder, [info], frame.kind, actions))

    def _begin(self) -> tuple[Rows, Any]:
        obs, info = read_reset(self._env.reset(seed=self._seed))
        self._seed = None
        return self._reader.single(obs), self._reader.find_mask(obs, info, self._ask)

    def _frame(
        self, kind: list[int], reward: list[float], obs: Rows, masks: list[Any]
    ) -> GameFrame:
        kinds = np.array(kind, np.uint8)
        return GameFrame(
            stream=np.zeros(len(kind), np.uint32),
            kind=kinds,
            reward=np.array(reward, np.float32),
            obs=obs,
            mask=self._reader.masks(masks, kinds),
        )


class _Vector:
    """A vector environment in any of the three autoreset modes.

    NEXT_STEP   the step after an end ignores the action and answers the next first observation:
                that row is FIRST, and each frame has S rows
    SAME_STEP   the step that ends an episode answers the next first observation, and the final one
                in ``info["final_obs"]``: both rows go into one frame
    DISABLED    we reset the ended environments ourselves, in the same frame
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        reader: SpaceReader,
        seed: int | None,
        mode: AutoresetMode,
    ) -> None:
        self._env, self._reader, self._seed, self._mode = env, reader, seed, mode
        self._ask = ask_vector(env)
        self._over = np.zeros(env.num_envs, np.bool_)  # NEXT_STEP: the next step will be a reset

    def reset(self) -> GameFrame:
        obs, info = read_reset(self._env.reset(seed=self._seed))
        self._seed = None
        self._over[:] = False
        kind = np.zeros(self._env.num_envs, np.uint8)
        rows, masks = self._reader.batch(obs), self._masks(obs, info, self._ask)
        return self._frame(kind, np.zeros(len(kind)), rows, masks)

    def step(self, actions: NDArray[Any]) -> GameFrame:
        answer = self._env.step(self._reader.coder.decode(actions))
        frame, info = self._read(answer)
        final = info.get("final_info", {})
        if not tells_facts(info, final):
            return frame
        ended = frame.kind[: self._env.num_envs] >= TERMINATED
        infos = [split_info(final if final and ended[i] else info, i) for i in range(len(ended))]
        return frame._replace(facts=read_facts(self._reader.coder, infos, frame.kind, actions))

    def _read(self, answer: Any) -> tuple[GameFrame, dict[str, Any]]:
        """Return the frame of a step's answer, and the step's info."""
        obs, given, terminated, truncated, info = read_step(answer)
        reward = numbers(given, self._env.num_envs)
        kind = np.full(self._env.num_envs, MID, np.uint8)
        kind[truncated] = TRUNCATED
        kind[terminated] = TERMINATED
        rows, masks = self._reader.batch(obs), self._masks(obs, info, self._ask)
        if self._mode is AutoresetMode.NEXT_STEP:
            kind[self._over] = FIRST
            self._over = kind >= TERMINATED
            return self._frame(kind, reward, rows, masks), info
        ended = np.flatnonzero(kind >= TERMINATED)
        if not ended.size:
            return self._frame(kind, reward, rows, masks), info
        if self._mode is AutoresetMode.SAME_STEP:
            first = {name: part[ended] for name, part in rows.items()}
            first_masks = [masks[i] for i in ended]
            self._put_finals(info, ended, rows, masks)
        else:
            rows = {name: part.copy() for name, part in rows.items()}  # before a reset reuses them
            again, begun = self._env.reset(options={"reset_mask": kind >= TERMINATED})
            first = {name: part[ended] for name, part in self._reader.batch(again).items()}
            renewed = self._masks(again, begun, self._ask)
            first_masks = [renewed[i] for i in ended]
        both = {name: np.concatenate((part, first[name])) for name, part in rows.items()}
        return self._frame(kind, reward, both, masks + first_masks, ended), info

    def _put_finals(
        self, info: dict[str, Any], ended: NDArray[np.int64], rows: Rows, masks: list[Any]
    ) -> None:
        """Replace the observations and masks of ``ended`` streams by their final ones, in place."""
        if "final_obs" not in info:
            raise ValueError("an environment that resets in the same step must give final_obs")
        final = info["final_obs"]
        final_masks = self._masks(final, info.get("final_info", {}), ask=None)
        for name in rows:
            rows[name] = rows[name].copy()
        for i in ended:
            for leaf in self._reader.leaves:
                rows[leaf.name][i] = leaf.row(final, i)[0]
            masks[i] = final_masks[i]

    def _masks(self, obs: Any, info: Any, ask: Ask | None) -> list[Any]:
        """Return the mask of each environment, None where it gave none."""
        n = self._env.num_envs
        found = self._reader.find_mask(obs, info, ask)
        if found is None:
            return [None] * n
        if not isinstance(found, dict):
            there = info.get("_action_mask", np.ones(n, np.bool_))
            return [found[i] if there[i] else None for i in range(n)]
        return [{key: part[i] for key, part in found.items()} for i in range(n)]

    def _frame(
        self,
        kind: NDArray[np.uint8],
        reward: NDArray[Any],
        obs: Rows,
        masks: list[Any],
        opened: NDArray[np.int64] | None = None,
    ) -> GameFrame:
        """Return a frame of a row for each stream and then the first rows of ``opened`` streams."""
        extra = np.zeros(0, np.int64) if opened is None else opened
        kinds = np.concatenate((kind, np.full(len(extra), FIRST, np.uint8)))
        return GameFrame(
            stream=np.concatenate((np.arange(len(kind)), extra)).astype(np.uint32),
            kind=kinds,
            reward=np.concatenate((reward, np.zeros(len(extra)))).astype(np.float32),
            obs=obs,
            mask=self._reader.masks(masks, kinds),
        )


def _mode(env: VectorEnv[Any, Any, Any], given: AutoresetMode | str | None) -> AutoresetMode:
    mode = env.metadata.get("autoreset_mode") if given is None else given
    if mode is None:
        raise ValueError(
            f"{env} does not say its autoreset_mode in its metadata; give it to GymGame"
        )
    return mode if isinstance(mode, AutoresetMode) else AutoresetMode(mode)
