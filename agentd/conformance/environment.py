"""One Gymnasium environment looked at: does it do what its spaces say, and what is made of it.

Letters: A mask bytes of a row.
"""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from agentd.client.choices import Actions
from agentd.client.gym_checks import SpaceReader, ask_single, one_number, read_reset, read_step
from agentd.client.gym_spaces import CannotBeSent, Misfit
from agentd.conformance.findings import Outcome
from agentd.errors import JobFailed
from agentd.rl.blame import explain
from agentd.rl.games import make_environment
from agentd.rl.tasks import GameSource

SAME = 200
"""Steps that are played twice, to see whether a seed tells all."""

# name: what is right; what to do about it; what shows it
CHECKS = {
    "observation space": (
        "Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them",
        "wrap the environment so that it observes one of these",
        "",
    ),
    "action space": (
        "Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them",
        "cut each number into steps and make it a branch of MultiDiscrete",
        "",
    ),
    "reset": (
        "reset(seed=…) returns (observation, info)",
        "return both, and pass the seed to super().reset(seed=seed)",
        "",
    ),
    "step": (
        "step(action) returns (observation, reward, terminated, truncated, info)",
        "return the five values of Gymnasium 0.26 and later",
        "",
    ),
    "observations": (
        "each observation lies in its space and has its dtype",
        "cast observations to the dtype of the space, or correct its bounds",
        "",
    ),
    "rewards": (
        "one finite number",
        "look for a division by zero; return a float",
        "",
    ),
    "ends": (
        "terminated and truncated are truths, and episodes end",
        "return bools; give the environment a time limit with --max-episode-steps",
        "play more --steps, or set a time limit with --max-episode-steps",
    ),
    "masks": (
        "as long as there are actions, with a legal one before the end",
        "give action_mask a number for each action of each branch",
        "put action_mask into info, into the observation, or have a method action_masks()",
    ),
    "same seed": (
        "the same seed and actions give the same observations, rewards and ends",
        "draw from self.np_random only, and seed it in reset",
        "",
    ),
}


class EnvVerdict(NamedTuple):
    """What is to be said of one check."""

    name: str
    outcome: Outcome
    expected: str = ""
    got: str = ""
    advice: str = ""  # the fix, or what would show it


class EnvReport(NamedTuple):
    """All that was seen of an environment."""

    verdicts: tuple[EnvVerdict, ...]
    steps: int
    episodes: int
    longest: int  # steps of the longest episode that ended
    steps_per_second: float
    observation: dict[str, tuple[str, tuple[int, ...]]]  # name -> (dtype, shape) on the wire
    actions: Actions | None
    masks_in: str


class _Found(Exception):
    """A check failed: its name, what came."""


class EnvironmentCheck:
    """One look at the environment of ``source``: ``steps`` random legal steps."""

    def __init__(self, source: GameSource, steps: int, seed: int) -> None:
        """Raises MissingInput, UsageError and JobFailed where it cannot be made."""
        self._source, self._steps, self._seed = source, steps, seed
        self._env = make_environment(source)
        self._failed: dict[str, str] = {}
        self._seen: set[str] = set()
        self._reader: SpaceReader | None = None
        self._lengths: list[int] = []
        self._played, self._took = 0, 0.0

    def run(self) -> EnvReport:
        """Look at everything; close the environment."""
        try:
            if self._read_spaces():
                self._try("step", self._play)
                if not self._failed:
                    self._try("same seed", self._repeat)
        finally:
            self._env.close()
        reader = self._reader
        return EnvReport(
            verdicts=tuple(self._verdicts()),
            steps=self._played,
            episodes=len(self._lengths),
            longest=max(self._lengths, default=0),
            steps_per_second=self._played / self._took if self._took else 0.0,
            observation={}
            if reader is None
            else {leaf.name: (leaf.dtype, leaf.shape) for leaf in reader.leaves},
            actions=None if reader is None else reader.coder.actions,
            masks_in="" if reader is None else reader.masks_in,
        )

    def _try(self, name: str, part: Any) -> None:
        """Run a part; what the environment's own code raises fails the check ``name``."""
        try:
            part()
        except _Found as found:
            self._failed[found.args[0]] = found.args[1]
        except Exception as error:
            self._failed[name] = explain(error)

    def _verdicts(self) -> Iterator[EnvVerdict]:
        for name, (wish, fix, see) in CHECKS.items():
            if name in self._failed:
                yield EnvVerdict(name, "FAILED", wish, self._failed[name], fix)
            elif name in self._seen:
                yield EnvVerdict(name, "OK")
            else:
                after = f"{', '.join(self._failed)} first" if self._failed else see
                yield EnvVerdict(name, "NOT SEEN", advice=after)

    # -- parts ---------------------------------------------------------------------------------

    def _read_spaces(self) -> bool:
        env = self._env
        try:
            self._reader = SpaceReader(env.observation_space, env.action_space)
        except CannotBeSent as fault:
            name = "action space" if str(fault).startswith("action") else "observation space"
            self._failed[name] = str(fault)
            return False
        self._seen |= {"observation space", "action space"}
        return True

    def _play(self) -> None:
        rng = np.random.default_rng(self._seed)
        mask = self._begin(self._seed)
        length, start = 0, time.perf_counter()
        for _ in range(self._steps):
            *_, over, mask = self._step(self._choose(rng, mask))
            length += 1
            self._played += 1
            if over:
                self._lengths.append(length)
                length = 0
                mask = self._begin(None)
        self._took = time.perf_counter() - start
        if self._lengths:
            self._seen.add("ends")

    def _begin(self, seed: int | None) -> NDArray[np.uint8] | None:
        obs, info = _checked("reset", read_reset, self._env.reset(seed=seed))
        self._seen.add("reset")
        self._look(obs)
        return self._mask(obs, info, over=False)

    def _step(self, action: Any) -> tuple[Any, float, bool, NDArray[np.uint8] | None]:
        answer = self._env.step(action)
        obs, reward, terminated, truncated, info = _checked("step", read_step, answer)
        self._seen.add("step")
        self._look(obs)
        number: float = _checked("rewards", one_number, reward)
        self._seen.add("rewards")
        for name, end in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(end, bool | np.bool_):
                raise _Found("ends", f"{name}: {end!r} of type {type(end).__name__}")
        over = bool(terminated or truncated)
        return obs, number, over, self._mask(obs, info, over)

    def _look(self, obs: Any) -> None:
        assert self._reader is not None
        _checked("observations", self._reader.single, obs)
        space = self._env.observation_space
        if not space.contains(obs):
            raise _Found("observations", _outside(space, obs))
        self._seen.add("observations")

    def _mask(self, obs: Any, info: Any, over: bool) -> NDArray[np.uint8] | None:
        assert self._reader is not None
        found = self._reader.find_mask(obs, info, ask_single(self._env))
        if found is None:
            return None
        flat: NDArray[np.uint8] = _checked("masks", self._reader.coder.flat_mask, found)
        playable = self._reader.coder.is_playable(flat)
        if not playable and not over:
            raise _Found("masks", f"no legal action in a branch: {flat.tolist()}")
        self._seen.add("masks")
        return flat if playable else None

    def _choose(self, rng: np.random.Generator, mask: NDArray[np.uint8] | None) -> Any:
        """A random action that the mask allows."""
        assert self._reader is not None
        coder = self._reader.coder
        return coder.decode_one(coder.shape.drawn(rng, mask))

    def _repeat(self) -> None:
        """Play the first steps twice, in two environments."""
        traces = []
        for _ in range(2):
            self._env.close()
            self._env = make_environment(self._source)
            traces.append(self._trace())
        for step, (one, two) in enumerate(zip(*traces, strict=True)):
            if one != two:
                raise _Found("same seed", f"another {one[0]} at step {step}")
        self._seen.add("same seed")

    def _trace(self) -> list[tuple[str, Any]]:
        """What the environment hands out from the seed on, as comparable facts."""
        assert self._reader is not None
        facts: list[tuple[str, Any]] = []
        rng = np.random.default_rng(self._seed)
        obs, info = read_reset(self._env.reset(seed=self._seed))
        mask = self._mask(obs, info, over=False)
        for _ in range(min(SAME, self._steps)):
            facts.append(("observation", _bytes(self._reader.single(obs))))
            obs, reward, over, mask = self._step(self._choose(rng, mask))
            facts += [("reward", reward), ("end", over)]
            if over:
                obs, info = read_reset(self._env.reset())
                mask = self._mask(obs, info, over=False)
        return facts


def check_environment(source: GameSource, steps: int, seed: int) -> EnvReport:
    """Look at a Gymnasium environment. Raises MissingInput, UsageError, JobFailed."""
    return EnvironmentCheck(source, steps, seed).run()


def _checked(name: str, read: Any, value: Any) -> Any:
    try:
        return read(value)
    except (Misfit, JobFailed) as fault:
        raise _Found(name, str(fault)) from None


def _bytes(rows: dict[str, NDArray[Any]]) -> tuple[bytes, ...]:
    return tuple(part.tobytes() for part in rows.values())


def _outside(space: gymnasium.Space[Any], obs: Any) -> str:
    """Why an observation is not in its space, in a few words."""
    if isinstance(space, gymnasium.spaces.Box) and isinstance(obs, np.ndarray):
        if obs.dtype != space.dtype:
            return f"dtype {obs.dtype}, and the space has {space.dtype}"
        if obs.shape != space.shape:
            return f"shape {obs.shape}, and the space has {space.shape}"
        wrong = (obs < space.low) | (obs > space.high)
        if wrong.any():
            return f"{obs[wrong].reshape(-1)[0]}, outside {space}"
    return f"{obs!r:.120} of type {type(obs).__name__}, and the space is {space}"
