"""CartPole: keep a pole upright on a cart by pushing the cart left or right.

Barto, Sutton & Anderson 1983, "Neuronlike adaptive elements that can solve difficult learning
control problems", with the equations of motion, constants and limits of Gymnasium's CartPole-v1.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.games.game import (
    ArraySpec,
    Kind,
    Spec,
    TimeStep,
    check_actions,
    check_streams,
    first_rows,
    outcome,
    with_resets,
)

GRAVITY = 9.8  # m/s^2
POLE_MASS = 0.1  # kg
TOTAL_MASS = 1.0 + POLE_MASS  # kg, the cart's 1 kg included
HALF_POLE = 0.5  # m
POLE_MOMENT = POLE_MASS * HALF_POLE  # kg m
FORCE = 10.0  # N
TAU = 0.02  # s between two states
X_LIMIT = 2.4  # m
THETA_LIMIT = 12 * 2 * math.pi / 360  # rad
START = 0.05  # every part of a first state is uniform in [-START, START)
MAX_STEPS = 500


class CartPole:
    """S poles on S carts, side by side.

    ## Description
    A pole stands on a cart by a joint that nothing drives. Each step pushes the cart for 20 ms.
    The state is kept in float64 and stepped by Euler's rule, as in Gymnasium.

    ## Action Space
    ``Discrete(2)``: 0 push left with 10 N, 1 push right with 10 N. Both are always legal.

    ## Observation Space
    ``state``: float32 (4,): position (m), velocity (m/s), angle (rad), angular velocity (rad/s).

    ## Rewards
    1 for every step, the last one included. The best return is 500.

    ## Episode End
    Terminated when the cart is more than 2.4 m from the middle or the pole leans by more than 12
    degrees. Truncated after 500 steps.

    Attributes:
        state: (S, 4) float64, writable; row s is what stream s will step from.
        elapsed: (S,) int64, steps played in the episode of each stream.
        observed: which parts of the state are seen; ``positions_only`` hides both velocities, so
            that one row does not tell which way things move.
        tau, longest: seconds between two states, and steps of the longest episode; writable, for
            the same game at another rate.
    """

    spec = Spec(
        name="cartpole",
        observation={"state": ArraySpec("float32", (4,))},
        actions=2,
        max_steps=MAX_STEPS,
        masked=False,
    )

    def __init__(
        self, streams: int, rng: np.random.Generator, *, positions_only: bool = False
    ) -> None:
        self.streams = streams
        self.observed = slice(0, 4, 2) if positions_only else slice(0, 4)
        if positions_only:
            seen = {"state": ArraySpec("float32", (2,))}
            self.spec = self.spec._replace(name="cartpole-positions", observation=seen)
        self.tau, self.longest = TAU, MAX_STEPS
        self.state = np.zeros((streams, 4))
        self.elapsed = np.zeros(streams, np.int64)
        self._rng = rng
        self._every = np.arange(streams)
        self.reset()

    def reset(self, streams: NDArray[np.integer[Any]] | None = None) -> TimeStep:
        """Stand each of ``streams`` up again, nearly still; see ``Game.reset``."""
        which = self._every if streams is None else streams
        check_streams(which, self.streams)
        self.state[which] = self._rng.uniform(-START, START, size=(len(which), 4))
        self.elapsed[which] = 0
        return first_rows(which, {"state": self._seen(which)})

    def step(self, actions: NDArray[np.integer[Any]]) -> TimeStep:
        """Push every cart for 20 ms; see ``Game.step``."""
        check_actions(actions, self.streams, 2)
        self.state = advance(self.state, actions, self.tau)
        self.elapsed += 1
        frame = TimeStep(
            stream=self._every.astype(np.uint32),
            kind=self._kinds(),
            reward=np.ones(self.streams, np.float32),
            obs={"state": self._seen(self._every)},
            mask=None,
        )
        return with_resets(self, frame)

    def _seen(self, streams: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        return self.state[streams, self.observed].astype(np.float32)

    def _kinds(self) -> NDArray[np.uint8]:
        """Return what each stream's new row is, (S,)."""
        if self.streams == 1:
            x, _, theta, _ = self.state[0].tolist()
            fell = abs(x) > X_LIMIT or abs(theta) > THETA_LIMIT
            late = self.elapsed.item() >= self.longest
            kind = Kind.TERMINATED if fell else Kind.TRUNCATED if late else Kind.MID
            return np.array([kind.value], np.uint8)
        angle, place = np.abs(self.state[:, 2]), np.abs(self.state[:, 0])
        return outcome((place > X_LIMIT) | (angle > THETA_LIMIT), self.elapsed >= self.longest)

    def render(self, stream: int = 0) -> str:
        """Draw the cart of ``stream``."""
        return render(self.state[stream])


def advance(
    state: NDArray[np.float64], actions: NDArray[np.integer[Any]], tau: float = TAU
) -> NDArray[np.float64]:
    """Return the states (S, 4) one step of ``tau`` seconds after ``state`` (S, 4).

    Florian 2007, "Correct equations for the dynamics of the cart-pole system", without friction;
    the order of the operations is Gymnasium's, so that the numbers are as well. One cart is
    stepped in Python's own numbers: for so little NumPy's calls cost more than the arithmetic.
    """
    if len(state) == 1:
        x, x_dot, theta, theta_dot = state[0].tolist()
        return np.array([_advance_one(x, x_dot, theta, theta_dot, int(actions[0]), tau)])
    x, x_dot, theta, theta_dot = state.T
    force = np.where(actions == 1, FORCE, -FORCE)
    cos, sin = np.cos(theta), np.sin(theta)
    push = (force + POLE_MOMENT * np.square(theta_dot) * sin) / TOTAL_MASS
    theta_acc = (GRAVITY * sin - cos * push) / (
        HALF_POLE * (4.0 / 3.0 - POLE_MASS * np.square(cos) / TOTAL_MASS)
    )
    x_acc = push - POLE_MOMENT * theta_acc * cos / TOTAL_MASS
    after = np.empty_like(state)
    after[:, 0] = x + tau * x_dot
    after[:, 1] = x_dot + tau * x_acc
    after[:, 2] = theta + tau * theta_dot
    after[:, 3] = theta_dot + tau * theta_acc
    return after


def _advance_one(
    x: float, x_dot: float, theta: float, theta_dot: float, action: int, tau: float
) -> tuple[float, float, float, float]:
    """``advance`` for one state, operation by operation the same."""
    force = FORCE if action == 1 else -FORCE
    cos, sin = float(np.cos(theta)), float(np.sin(theta))
    push = (force + POLE_MOMENT * (theta_dot * theta_dot) * sin) / TOTAL_MASS
    theta_acc = (GRAVITY * sin - cos * push) / (
        HALF_POLE * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS)
    )
    x_acc = push - POLE_MOMENT * theta_acc * cos / TOTAL_MASS
    return (
        x + tau * x_dot,
        x_dot + tau * x_acc,
        theta + tau * theta_dot,
        theta_dot + tau * theta_acc,
    )


def render(state: NDArray[np.floating[Any]], width: int = 49) -> str:
    """Draw one state (4,): the track between its limits, the cart, the pole's lean and its degrees.

    >>> print(render(np.array([2.0, 0.0, -0.1, 0.0]), width=21))
                    \\
                     \\
    |-----------------#-|
    x +2.00 m, angle -5.7 deg
    """
    middle = (width - 1) // 2
    cart = middle + round(float(state[0]) / X_LIMIT * middle)
    cart = min(max(cart, 1), width - 2)
    lean = 0 if abs(state[2]) < THETA_LIMIT / 4 else int(np.sign(state[2]))
    mark = "\\|/"[lean + 1]
    track = "|" + "-" * (width - 2) + "|"
    return "\n".join(
        (
            " " * max(cart + 2 * lean, 0) + mark,
            " " * (cart + lean) + mark,
            track[:cart] + "#" + track[cart + 1 :],
            f"x {state[0]:+.2f} m, angle {math.degrees(state[2]):+.1f} deg",
        )
    )
