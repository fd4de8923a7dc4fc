"""Duel: two planes, two guns, one sky. And a scripted plane to fly against."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.games.game import ArraySpec, Observations, Spec
from agentd.games.two_player import Advance, Tables

STRAIGHT, LEFT, RIGHT, FASTER, SLOWER, FIRE, BOOST = range(7)
ACTIONS = 7
# Lengths are in sides of the sky, times in steps.
TURN = math.radians(15)  # a step
SLOWEST, FASTEST, CHANGE = 0.010, 0.020, 0.0025
BOOSTED = 0.015  # added to the speed while the boost burns
BOOST_BURNS, BOOST_RESTS = 4, 30
BULLETS, BULLET_SPEED, BULLET_LIVES = 2, 0.06, 7
GUN_RESTS = 5
RADIUS = 0.04  # a bullet this near hits
HEALTH = 3
HIT = 0.2
MAX_STEPS = 200
FEATURES = 6 + 14 + 2 * 4 + (8 + 6) * BULLETS
PASSED = 4 * RADIUS  # a bullet that passes farther away than this is seen as if at this distance

Floats = NDArray[np.float64]


class Duel:
    """T skies with two planes each, a two-player game (``games.two_player``); both act at once.

    ## Description
    The sky is a square whose edges meet. A plane flies where it points; it turns by 15 degrees a
    step, holds a speed between 0.01 and 0.02 sides a step, fires a bullet that flies 7 steps at
    0.06 (a rest of 5 steps follows) and boosts for 4 steps (a rest of 30 follows). Three hits down
    a plane.

    ## Action Space
    ``Discrete(7)``: 0 straight, 1 left, 2 right, 3 faster, 4 slower, 5 fire, 6 boost. All are
    always legal; a gun or boost at rest does nothing.

    ## Observation Space
    ``sky``: float32 (56,), all of it as seen from the plane, x ahead and y to the left:
    own speed, health, rest of the gun and of the boost, boost burning, time left (6); the other's
    place, distance, cosine and sine of its bearing, of its heading and of our bearing from it, its
    speed, health, rests and burning (14); what a bullet of ours would do if fired now at one who
    flies straight on, and one of the other at us: cosine and sine of the turn it lacks, by how much
    it passes to the side, in how many steps (8); the other's bullets, the newest first, each place,
    life, when it is nearest to us if we fly straight on, where it is then, velocity (16); our own,
    each place, life, when it is nearest to the other, where it is then (12).

    ## Rewards
    +0.2 for a hit, -0.2 for being hit; +1 for winning and -1 for losing. With ``shaping`` also the
    change of a potential, that times how much better the plane aims at the other than the other
    at it (the difference of the bearings' cosines, nothing at the end): over an episode it sums to
    a constant of its first state (Ng, Harada & Russell 1999). The sum over both is 0.

    ## Episode End
    Terminated when a plane is down, and after 200 steps: then the healthier plane wins, and
    nobody where both are as healthy. Never truncated.
    """

    spec = Spec(
        name="duel",
        observation={"sky": ArraySpec("float32", (FEATURES,))},
        actions=ACTIONS,
        max_steps=MAX_STEPS,
        masked=False,
    )

    def __init__(self, tables: int, rng: np.random.Generator, shaping: float = 0.0) -> None:
        self.tables = tables
        self.shaping = shaping
        self._rng = rng
        self.place = np.zeros((tables, 2, 2))  # x, y in [0, 1)
        self.heading = np.zeros((tables, 2))  # radians
        self.speed = np.zeros((tables, 2))
        self.health = np.zeros((tables, 2), np.int64)
        self.gun = np.zeros((tables, 2), np.int64)  # steps until it may fire
        self.boost = np.zeros((tables, 2), np.int64)  # steps until it may boost
        self.elapsed = np.zeros(tables, np.int64)
        self.bullet = np.zeros((tables, 2, BULLETS, 2))  # of which seat, place
        self.flight = np.zeros((tables, 2, BULLETS, 2))  # its velocity
        self.life = np.zeros((tables, 2, BULLETS), np.int64)  # steps left, 0 for none

    def begin(self, tables: Tables) -> None:
        """Put both planes somewhere, with full guns; see ``TwoPlayerGame.begin``."""
        n = len(tables)
        self.place[tables] = self._rng.random((n, 2, 2))
        self.heading[tables] = self._rng.uniform(-math.pi, math.pi, (n, 2))
        self.speed[tables] = (SLOWEST + FASTEST) / 2
        self.health[tables] = HEALTH
        self.gun[tables] = self.boost[tables] = self.elapsed[tables] = 0
        self.life[tables] = 0

    def turns(self, tables: Tables) -> NDArray[np.bool_]:
        """Both, always; see ``TwoPlayerGame.turns``."""
        return np.ones((len(tables), 2), np.bool_)

    def legal(self, tables: Tables, seats: Tables) -> None:
        """Everything, always; see ``TwoPlayerGame.legal``."""

    def check(self, tables: Tables, seat: int, actions: NDArray[np.integer[Any]]) -> None:
        """See ``TwoPlayerGame.check``."""
        unsigned = actions.astype(np.uint64)
        if (unsigned >= ACTIONS).any():
            wrong = int(actions[np.flatnonzero(unsigned >= ACTIONS)[0]])
            raise ValueError(f"want actions in 0..{ACTIONS - 1}, got {wrong}")

    def advance(self, tables: Tables, actions: NDArray[np.integer[Any]]) -> Advance:
        """Fly one step; see ``TwoPlayerGame.advance``."""
        before = self._advantage(tables)
        self._steer(tables, actions)
        self._fire(tables, actions == FIRE)
        hits = self._fly_bullets(tables)  # (N, 2) that each seat scored
        self.health[tables] -= hits[:, ::-1]
        self.elapsed[tables] += 1
        health = self.health[tables].clip(0)
        over = (health == 0).any(axis=1) | (self.elapsed[tables] >= MAX_STEPS)
        ahead = np.sign(health - health[:, ::-1]) * over[:, None]
        gained = np.where(over, 0.0, self._advantage(tables)) - before
        reward = HIT * (hits - hits[:, ::-1]) + ahead
        reward += self.shaping * np.stack((gained, -gained), axis=1)
        return Advance(reward.astype(np.float32), over, np.zeros_like(over))

    def observe(self, tables: Tables, seats: Tables) -> Observations:
        """The sky as each seat sees it; see ``TwoPlayerGame.observe``."""
        other = 1 - seats
        heading = self.heading[tables, seats]
        place = self.place[tables, seats]
        across = turned(shortest(self.place[tables, other] - place), -heading)
        distance = np.linalg.norm(across, axis=1)
        bearing = np.arctan2(across[:, 1], across[:, 0])
        relative = self.heading[tables, other] - heading
        seen_from_it = bearing + math.pi - relative
        angles = np.stack((bearing, relative, seen_from_it), axis=1)
        parts = [
            self._state(tables, seats),
            1 - self.elapsed[tables, None] / MAX_STEPS,
            4 * across,
            2 * distance[:, None],
            np.cos(angles),
            np.sin(angles),
            self._state(tables, other),
            self._aim(tables, seats),
            self._aim(tables, other),
            self._bullets(tables, other, place, heading, moving=True),
            self._bullets(tables, seats, place, heading, moving=False),
        ]
        return {"sky": np.concatenate(parts, axis=1).astype(np.float32)}

    def render(self, table: int) -> str:
        """Draw the sky of ``table``; see ``TwoPlayerGame.render``."""
        return render(self, table)

    def _advantage(self, tables: Tables) -> Floats:
        """How much better seat 0 aims at seat 1 than the other way round, (N,) in -2..2."""
        way = shortest(self.place[tables, 1] - self.place[tables, 0])
        angle = np.arctan2(way[:, 1], way[:, 0])
        mine, its = self.heading[tables].T
        return np.asarray(np.cos(mine - angle) + np.cos(its - angle))

    def _steer(self, tables: Tables, actions: NDArray[np.integer[Any]]) -> None:
        """Turn, change speed, boost, and move the planes, in place."""
        turn = (actions == LEFT).astype(np.int64) - (actions == RIGHT)
        heading = self.heading[tables] + TURN * turn
        self.heading[tables] = np.mod(heading + math.pi, 2 * math.pi) - math.pi
        change = (actions == FASTER).astype(np.int64) - (actions == SLOWER)
        self.speed[tables] = (self.speed[tables] + CHANGE * change).clip(SLOWEST, FASTEST)
        rest = (self.boost[tables] - 1).clip(0)
        self.boost[tables] = np.where((actions == BOOST) & (rest == 0), BOOST_RESTS, rest)
        speed = self.speed[tables] + BOOSTED * burning(self.boost[tables])
        self.place[tables] = (self.place[tables] + along(self.heading[tables], speed)) % 1.0

    def _fire(self, tables: Tables, asked: NDArray[np.bool_]) -> None:
        """Put a bullet before each gun that is asked for one and has rested, in place."""
        rest = (self.gun[tables] - 1).clip(0)
        fires = asked & (rest == 0)
        self.gun[tables] = np.where(fires, GUN_RESTS, rest)
        row, seat = np.nonzero(fires)
        table = tables[row]
        # A gun rests long enough for one of two bullets to be spent.
        slot = self.life[table, seat].argmin(axis=1)
        self.bullet[table, seat, slot] = self.place[table, seat]
        self.flight[table, seat, slot] = along(
            self.heading[table, seat], np.full(len(row), BULLET_SPEED)
        )
        self.life[table, seat, slot] = BULLET_LIVES + 1

    def _fly_bullets(self, tables: Tables) -> NDArray[np.int64]:
        """Move every bullet; those that hit are spent. Returns the hits of each seat, (N, 2)."""
        self.bullet[tables] = (self.bullet[tables] + self.flight[tables]) % 1.0
        life = (self.life[tables] - 1).clip(0)
        targets = self.place[tables][:, ::-1, None]
        apart = np.linalg.norm(shortest(self.bullet[tables] - targets), axis=-1)
        hit = (life > 0) & (apart < RADIUS)
        self.life[tables] = np.where(hit, 0, life)
        hits: NDArray[np.int64] = hit.sum(axis=2)
        return hits

    def _state(self, tables: Tables, seats: Tables) -> Floats:
        """Speed, health, rests and burning of a plane, (N, 5)."""
        boost = self.boost[tables, seats]
        columns = (
            (self.speed[tables, seats] - SLOWEST) / (FASTEST - SLOWEST),
            self.health[tables, seats].clip(0) / HEALTH,
            self.gun[tables, seats] / GUN_RESTS,
            boost / BOOST_RESTS,
            burning(boost),
        )
        return np.stack(columns, axis=1)

    def _motion(self, tables: Tables, seats: Tables) -> Floats:
        """How far each plane flies in a step, (N, 2)."""
        speed = self.speed[tables, seats] + BOOSTED * burning(self.boost[tables, seats])
        return along(self.heading[tables, seats], speed)

    def _aim(self, tables: Tables, seats: Tables) -> Floats:
        """What a bullet of ``seats`` would do if fired now, (N, 4); see the class."""
        back, other = -self.heading[tables, seats], 1 - seats
        across = turned(shortest(self.place[tables, other] - self.place[tables, seats]), back)
        motion = turned(self._motion(tables, other), back)
        distance = np.linalg.norm(across, axis=1, keepdims=True)
        lead = across + motion * (distance / BULLET_SPEED)
        lead /= np.linalg.norm(lead, axis=1, keepdims=True).clip(1e-9)
        steps, apart = nearest(across, motion - (BULLET_SPEED, 0.0), np.array(BULLET_LIVES))
        return np.concatenate((lead, apart[:, 1:], steps), axis=1)

    def _bullets(
        self, tables: Tables, seats: Tables, place: Floats, heading: Floats, *, moving: bool
    ) -> Floats:
        """The bullets of ``seats`` from ``place`` (N, 2) and ``heading`` (N,), zeros for none."""
        table, seat, back = tables[:, None], seats[:, None], -heading[:, None]
        slot = np.argsort(-self.life[tables, seats], axis=1)
        life, bullet = self.life[table, seat, slot], self.bullet[table, seat, slot]
        flight = self.flight[table, seat, slot]
        across = shortest(bullet - self.place[table, 1 - seat])
        steps, apart = nearest(across, flight - self._motion(table, 1 - seat), life)
        parts = [
            4 * turned(shortest(bullet - place[:, None]), back),
            life[..., None] / BULLET_LIVES,
            steps,
            turned(apart, back),
        ]
        if moving:
            parts.append(turned(flight, back) / BULLET_SPEED)
        seen = np.concatenate(parts, axis=2) * (life > 0)[..., None]
        return seen.reshape(len(seen), -1)


def nearest(
    across: Floats, motion: Floats, life: NDArray[np.integer[Any]]
) -> tuple[Floats, Floats]:
    """When what is ``across`` (..., 2) and flies by ``motion`` is nearest within ``life`` (...)
    steps, (..., 1) as a share of a bullet's life; and where it is then, (..., 2), at most 1 away.
    """
    speed = (motion**2).sum(axis=-1).clip(1e-9)
    steps = (-(across * motion).sum(axis=-1) / speed).clip(0, life)[..., None]
    apart = across + motion * steps
    distance = np.linalg.norm(apart, axis=-1, keepdims=True)
    return steps / BULLET_LIVES, apart / distance.clip(PASSED)


def burning(rest: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a boost with so many steps of rest left still burns."""
    return rest > BOOST_RESTS - BOOST_BURNS


def along(heading: Floats, length: Floats) -> Floats:
    """Vectors (..., 2) of ``length`` towards ``heading``."""
    return np.stack((np.cos(heading), np.sin(heading)), axis=-1) * length[..., None]


def shortest(difference: Floats) -> Floats:
    """The shortest way (..., 2) across a sky whose edges meet."""
    return (difference + 0.5) % 1.0 - 0.5


def turned(vector: Floats, angle: Floats) -> Floats:
    """``vector`` (..., 2) turned by ``angle`` (...) to the left."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = vector[..., 0], vector[..., 1]
    return np.stack((cos * x - sin * y, sin * x + cos * y), axis=-1)


def fly_by_rules(world: Duel, tables: Tables, seat: int) -> NDArray[np.integer[Any]]:
    """Return an action by rules for ``seat`` at each of ``tables``, (N,); a ``Player``.

    The plane leads its target, fires when that is before its gun, boosts away from one at its back,
    and slows down rather than overshoot.
    """
    heading, other = world.heading[tables, seat], 1 - seat
    across = turned(shortest(world.place[tables, other] - world.place[tables, seat]), -heading)
    distance = np.linalg.norm(across, axis=1)
    flight = turned(along(world.heading[tables, other], world.speed[tables, other]), -heading)
    aim = across + flight * (distance / BULLET_SPEED)[:, None]
    error = np.arctan2(aim[:, 1], aim[:, 0])
    near = distance < BULLET_SPEED * BULLET_LIVES
    loaded = world.gun[tables, seat] <= 1
    behind = (across[:, 0] < 0) & (distance < 0.3)
    facing = flight[:, 0] > 0
    rested = world.boost[tables, seat] <= 1
    action = np.where(error > 0, LEFT, RIGHT)
    action[np.abs(error) < TURN / 2] = FASTER
    action[(np.abs(error) < TURN) & (distance < 0.15)] = SLOWER
    action[near & loaded & (np.abs(error) < math.atan2(RADIUS, 0.2))] = FIRE
    action[behind & facing & rested] = BOOST
    return action


def render(world: Duel, table: int, width: int = 48) -> str:
    """Draw one sky: an arrow for each plane, ``*`` for bullets, and the state of both below."""
    height = width // 2
    cells = np.full((height, width), " ")

    def put(place: Floats, mark: str) -> None:
        x, y = int(place[0] * width) % width, int(place[1] * height) % height
        cells[height - 1 - y, x] = mark

    for seat, bullet in zip(*np.nonzero(world.life[table] > 0), strict=True):
        put(world.bullet[table, seat, bullet], "*" if seat == 0 else "+")
    for seat in (1, 0):
        octant = round(float(world.heading[table, seat]) / (math.pi / 4)) % 8
        put(world.place[table, seat], ("→↗↑↖←↙↓↘", "⇒⇗⇑⇖⇐⇙⇓⇘")[seat][octant])
    states = (
        f"{'→⇒'[seat]} health {max(0, world.health[table, seat])} "
        f"speed {world.speed[table, seat]:.3f} gun {world.gun[table, seat]} "
        f"boost {world.boost[table, seat]}"
        for seat in (0, 1)
    )
    edge = "+" + "-" * width + "+"
    return "\n".join((edge, *(f"|{''.join(row)}|" for row in cells), edge, *states))
