"""What an environment hands out beside observations: answers, rewards, masks; each checked."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from agentd.client.gym_actions import ActionCoder
from agentd.client.gym_spaces import Misfit, SpaceLeaf, leaves
from agentd.protocol.rows import TERMINATED

MASK = "action_mask"
METHOD = "action_masks"
Ask = Callable[[], Any]
"""Calls an environment's method for its masks."""
_STEP = "(observation, reward, terminated, truncated, info)"
_RESET = "(observation, info)"


class SpaceReader:
    """Reads what environments of one observation and one action space hand out.

    Attributes:
        leaves: the tensors of an observation; a mask that lies in it is none of them.
        coder: the actions.
        masks_in: the place where masks were found: ``info["action_mask"]``, the observation's key
            of that name, or the method ``action_masks()``; "" as long as there was none.
    """

    def __init__(self, observation: gymnasium.Space[Any], action: gymnasium.Space[Any]) -> None:
        """Raises TypeError for spaces that cannot be sent."""
        self.coder = ActionCoder(action)
        self._in_observation = _has_mask(observation, self.coder.width)
        if self._in_observation:
            assert isinstance(observation, spaces.Dict)
            inner = {key: part for key, part in observation.spaces.items() if key != MASK}
            observation = spaces.Dict(inner)
        self.leaves: tuple[SpaceLeaf, ...] = leaves(observation)
        self.masks_in = ""

    def single(self, observation: Any) -> dict[str, NDArray[Any]]:
        """Return one environment's observation as one row of each tensor. Raises Misfit."""
        return {leaf.name: leaf.single(observation) for leaf in self.leaves}

    def batch(self, observation: Any) -> dict[str, NDArray[Any]]:
        """Return S environments' observations as rows of each tensor. Raises Misfit."""
        return {leaf.name: leaf.batch(observation) for leaf in self.leaves}

    def find_mask(self, observation: Any, info: Any, ask: Ask | None) -> Any:
        """Return a mask, or a vector environment's masks, from the first place that has them.

        ``ask`` calls the method, None where there is none. Returns None where no place has any.
        """
        if MASK in info:
            self.masks_in = f'info["{MASK}"]'
            return info[MASK]
        if self._in_observation:
            self.masks_in = f'the observation\'s "{MASK}"'
            if isinstance(observation, np.ndarray):  # of objects, None where there is none
                return [one if one is None else one[MASK] for one in observation]
            return observation[MASK]
        if ask is not None:
            self.masks_in = f"{METHOD}()"
            return ask()
        return None

    def masks(self, masks: Sequence[Any], kind: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Return the masks (N, A) of rows of ``kind`` (N,); None where no row has one.

        Where only some rows have a mask, and where an ended row's mask leaves no action, everything
        is legal: R5 refuses rows without a legal action, and nobody acts after an end. Raises
        Misfit for another row that leaves none, and for a mask of another size.
        """
        if all(mask is None for mask in masks):
            return None
        out = np.ones((len(masks), self.coder.width), np.uint8)
        for row, mask in enumerate(masks):
            if mask is None:
                continue
            flat = self.coder.flat_mask(mask)
            if self.coder.is_playable(flat):
                out[row] = flat
            elif kind[row] < TERMINATED:
                raise Misfit(MASK, "a legal action in every branch", flat.tolist())
        return out


class CheckedEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Holds what one environment hands out against its spaces, before it is batched with others.

    A vector environment casts observations into the arrays of its space, and what does not fit is
    lost there in silence. Rewards become one number each.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._reader = SpaceReader(env.observation_space, env.action_space)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment. Raises Misfit."""
        obs, info = read_reset(self.env.reset(**options))
        self._reader.single(obs)
        return obs, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Play one action. Raises Misfit."""
        obs, reward, terminated, truncated, info = read_step(self.env.step(action))
        self._reader.single(obs)
        return obs, one_number(reward), terminated, truncated, info


def read_reset(answer: Any) -> tuple[Any, Any]:
    """Return the two values of a reset. Raises Misfit, as for those of Gym before 0.26."""
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], Mapping):
        raise Misfit("reset()", _RESET, _outline(answer))
    return answer


def read_step(answer: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Return the five values of a step. Raises Misfit, as for those of Gym before 0.26."""
    if not isinstance(answer, tuple) or len(answer) != 5 or not isinstance(answer[4], Mapping):
        raise Misfit("step()", _STEP, _outline(answer))
    return answer


def one_number(reward: Any) -> float:
    """Return a reward as a number: of an array its only one, of a truth 0 or 1. Raises Misfit."""
    values = _plain_numbers(reward)
    if values.size != 1:
        raise Misfit("reward", "one number", f"an array of shape {values.shape}")
    return float(_finite(values.reshape(1))[0])


def numbers(rewards: Any, n: int) -> NDArray[np.float32]:
    """Return the rewards of ``n`` environments. Raises Misfit."""
    values = _plain_numbers(rewards)
    if values.size != n:
        raise Misfit("reward", f"{n} numbers", f"an array of shape {values.shape}")
    return _finite(values.reshape(n))


def _plain_numbers(value: Any) -> NDArray[Any]:
    try:
        values = np.asarray(value)
    except ValueError:  # parts of several lengths
        raise Misfit("reward", "one number", type(value).__name__) from None
    if values.dtype.kind not in "biuf":
        raise Misfit("reward", "one number", type(value).__name__)
    return values


def _finite(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    if not np.isfinite(found).all():
        raise Misfit("reward", "finite numbers of float32", values[~np.isfinite(found)][0])
    return found


def ask_single(env: gymnasium.Env[Any, Any]) -> Ask | None:
    """Return ``env``'s method ``action_masks``, also of what it wraps; None where none has it."""
    if not env.has_wrapper_attr(METHOD):
        return None
    found: Any = env.get_wrapper_attr(METHOD)
    return found if callable(found) else None


def ask_vector(env: VectorEnv[Any, Any, Any]) -> Ask | None:
    """Return what asks every environment for its masks; None where one of them has no method."""
    own = getattr(env, METHOD, None)
    if callable(own):
        return own  # type: ignore[no-any-return]
    call = getattr(env.unwrapped, "call", None)  # of SyncVectorEnv and AsyncVectorEnv
    if call is None or not all(call("has_wrapper_attr", METHOD)):
        return None
    return lambda: call(METHOD)


def _has_mask(space: gymnasium.Space[Any], width: int) -> bool:
    """Whether an observation holds a mask of ``width`` actions, and more than that."""
    if not isinstance(space, spaces.Dict) or len(space.spaces) < 2 or MASK not in space.spaces:
        return False
    size = sum(int(np.prod(part.inner)) for part in leaves(space.spaces[MASK]))
    return size == width


def _outline(answer: Any) -> str:
    if isinstance(answer, tuple):
        return f"({', '.join(type(part).__name__ for part in answer)})"
    return type(answer).__name__
