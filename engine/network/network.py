"""Network: layers placed on one flat vector. Pass: a network's activations on a backend."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentd.engine.backend import Array, Backend, DenseStack, Host, Kind, Shape, Slot, Step
from agentd.engine.checkpointing import MemoryPlan, MemorySpec, PolicyFunction, plan_memory
from agentd.engine.checkpointing.replay import Replay
from agentd.engine.checkpointing.spec import refuse_unknown
from agentd.engine.errors import ModelError, ShapeError
from agentd.engine.layers import LayerSpec, Sequential
from agentd.engine.layers.recording import (
    Arena,
    Calls,
    Layout,
    OwnBuffers,
    Penalty,
    Recording,
    SharedBuffers,
)
from agentd.engine.layers.sequential import as_dense_stack

_MAX_PLANS = 1024
_MAX_VECTORS = 4


class Network:
    """Layers placed on an input shape: names, shapes and slots, no numbers.

    >>> net = Network(Dense(120), Relu(), Dense(2), input_shape=(4,))
    >>> net.n_params, net.output_shape
    (842, (2,))

    The flat vector holds the trainable parameters, ``n_trainable`` of them, and after these the
    statistics that training updates by itself (BatchNorm's): ``n_params`` in all. Optimizers take
    the first part, publishing and saving take all.

    A network of rows may remember: ``remembering`` names the recurrent layers that do, ``memory``
    the widths of what they carry from row to row of a stream, S numbers in all.
    """

    def __init__(self, *layers: LayerSpec, input_shape: Shape) -> None:
        if not input_shape or min(input_shape) < 1:
            raise ModelError(
                f"network: expected an input shape of positive sizes, got {input_shape}"
            )
        specs = Sequential(layers)
        counted = Layout()
        specs.place(counted, "", input_shape)
        layout = Layout(statistics_at=counted.n_trainable)
        self.root = specs.place(layout, "", input_shape)
        self.specs = layers
        self.input_shape = input_shape
        self.output_shape = self.root.out_shape
        self.slots: tuple[Slot, ...] = tuple(layout.slots)
        self.penalties: tuple[Penalty, ...] = tuple(layout.penalties)
        self.moved: tuple[str, ...] = tuple(layout.moved)
        self.memory: tuple[int, ...] = tuple(layout.memory)
        self.remembering: tuple[str, ...] = tuple(layout.remembering)
        self.n_trainable = layout.n_trainable
        self.n_params = layout.n_trainable + layout.n_statistics
        self.input_kind: Kind = layout.input_kind
        self._draws = tuple(layout.draws)

    @property
    def memory_width(self) -> int:
        """S, how many numbers are carried from row to row; 0 for a network that does not."""
        return sum(self.memory)

    @property
    def dense_stack(self) -> DenseStack | None:
        """The layers, if the network is nothing but dense ones without penalties; else None."""
        if self.penalties or self.input_kind != "float":
            return None
        return as_dense_stack(self.root)

    def init(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return first parameters, (n_params,) float32, drawn slot by slot from ``rng``."""
        params = np.zeros(self.n_params, np.float32)
        for slot, draw in zip(self.slots, self._draws, strict=True):
            params[slot.offset : slot.end] = draw(rng, slot.shape).reshape(-1)
        return params


def refuse_memory(network: Network, who: str) -> None:
    """Raise ModelError for a network that remembers where nobody carries its state along."""
    if network.memory:
        raise ModelError(
            f"{network.remembering[0]}: {who} has no sequences of rows for it to remember; a "
            "sequence within one row is (steps, features): put `reshape` before it"
        )


@dataclass(slots=True)
class _Plan:
    """One batch size's bound ops, and the arrays they read and write."""

    recording: Recording
    x: Array
    y: Array
    shape: Shape
    mask: Array | None
    forward: list[Step]
    forward_taken: int
    replay: Replay | None
    dy: Array | None = None
    backward: dict[int, tuple[Array, list[Step]]] = field(default_factory=dict)


class Pass:
    """A network's forward and backward on one backend, for up to ``capacity`` rows at once.

    All activations live here and are reused by every call: what a call returns is valid until the
    next one. A pass belongs to one thread. It recognises the last few parameter vectors and
    gradients it was given; calling it with ever new ones costs a recording each time. ``training``
    turns dropout on, lets BatchNorm use the batch and update its statistics in the parameter
    vector, and allows backward; ``noisy`` or ``training`` lets noisy layers draw their weights.
    ``seed`` is that of all masks and noise. ``memory`` and ``policy`` say what a training pass
    keeps for backward; the gradients are the same bits whatever they say. Raises ModelError where
    they name a layer that is not there, or one that cannot be replayed.

    Of a network that remembers, a batch may hold ``times`` rows of each stream, time first: row
    ``t * L + i`` is the t-th of stream i of L. Gradients reach back to the first of them.
    """

    def __init__(
        self,
        net: Network,
        backend: Backend,
        capacity: int,
        training: bool = False,
        seed: int = 0,
        noisy: bool = False,
        memory: MemorySpec | None = None,
        policy: PolicyFunction | None = None,
        times: int = 1,
    ) -> None:
        self.net = net
        self.times = times
        self.backend = backend
        self.capacity = capacity
        self.training = training
        self.noisy = training or noisy
        self.memory: MemoryPlan | None = None  # of a pass that does not keep everything
        self._arena: Arena = OwnBuffers(backend, capacity)
        memory = memory or MemorySpec()
        if training and not (memory.is_plain and policy is None):
            refuse_unknown(memory.policy, net.specs)
            self.memory = plan_memory(net, capacity, memory, policy).at(memory.budget)
            sizes, offsets = self.memory.sizes, self.memory.offsets
            self._arena = SharedBuffers(backend, capacity, sizes, offsets)
        self._masks: Array | None = None
        self._calls = Calls(seed)
        self._vectors: dict[int, tuple[Array, dict[int, _Plan]]] = {}
        self._params: Array | None = None
        self._plans: dict[int, _Plan] = {}
        self._last: _Plan | None = None

    def input(self, params: Array, batch: int) -> Array:
        """Return the input of a batch of ``batch`` rows: write into it, then pass it to forward."""
        return self._plan(params, batch).x

    def output_gradient(self, params: Array, batch: int) -> Array:
        """Return where a loss may write dy, (B, *out): passed to backward it is not copied.

        It is written whole, between forward and backward.
        """
        plan = self._plan(params, batch)
        if plan.dy is None:
            plan.dy = self.backend.zeros(plan.y.shape)
        return plan.dy

    def output(self, params: Array, batch: int) -> Array:
        """Return where forward leaves the output of a batch of ``batch`` rows, (B, *out)."""
        return self._plan(params, batch).y

    @property
    def fractions(self) -> Array | None:
        """The fractions (B, n) of the last forward's implicit quantiles, None where none drew any.

        For the plans of one batch size they are always in the same place.
        """
        return None if self._last is None else self._last.recording.fractions

    def forward(
        self,
        params: Array,
        x: Array | Host,
        mask: Array | Host | None = None,
        memory: Host | None = None,
    ) -> Array:
        """Return the network's output for x (B, *input_shape), from host or device memory.

        params (n_params,). mask (B, A), 1 = legal, counts in a dueling head's mean; None means all
        actions are legal. memory (B / times, S): what the rows before these left, None for
        nothing. The result (B, *output_shape) is valid until the next call. Raises ShapeError when
        x has another shape or more than ``capacity`` rows.
        """
        batch = x.shape[0] if x.shape else 0
        plan = self._plans.get(batch) if params is self._params and mask is None else None
        if plan is None:
            plan = self._plan(params, batch, mask is not None)
        if x is not plan.x:
            if x.shape != plan.shape:
                raise ShapeError("network input", plan.shape, x.shape)
            self.backend.write(plan.x, x)
        if mask is not None and plan.mask is not None:
            self.backend.write(plan.mask, mask)
        self._last = plan
        self._calls.count += 1
        if plan.recording.before:
            self._recall(plan.recording, memory)
        for step in plan.forward:
            step()
        return plan.y

    def memory_after(self) -> NDArray[np.float32]:
        """Return what the last forward leaves to the rows after it, (B / times, S), as a copy."""
        plan = self._last
        if plan is None or not plan.recording.memory:
            raise ModelError("memory: expected a forward of a network that remembers before it")
        return np.concatenate([self.backend.to_host(m) for m in plan.recording.memory], axis=1)

    def backward(self, gradient: Array, dy: Array | Host) -> None:
        """Overwrite ``gradient`` (n_params,) in place with d loss / d params for the last forward.

        dy (B, *output_shape) is d loss / d output; it may be overwritten. The penalties of l1 and
        l2 are added. Raises ShapeError when dy is not of the last output's shape.
        """
        plan = self._last
        if plan is None or not self.training:
            raise ModelError("backward: expected a forward with training=True before it")
        if dy is not plan.dy:
            if plan.dy is None:
                plan.dy = self.backend.zeros(plan.y.shape)
            if dy.shape != plan.y.shape:
                raise ShapeError("output gradient", plan.y.shape, dy.shape)
            self.backend.write(plan.dy, dy)
        known = plan.backward.get(id(gradient))
        if known is None:
            known = self._record_backward(plan, gradient)
        for step in known[1]:
            step()

    def get_state(self) -> dict[str, Any]:
        """Return what the next call depends on besides its arguments: the place in the masks."""
        return {"seed": self._calls.seed, "calls": self._calls.count}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue where ``get_state`` was called."""
        self._calls.seed, self._calls.count = int(state["seed"]), int(state["calls"])

    def _recall(self, recording: Recording, memory: Host | None) -> None:
        """Write what the rows before left, 0 for None."""
        shape, at = (recording.lanes, self.net.memory_width), 0
        if memory is None:
            memory = np.zeros(shape, np.float32)
        elif memory.shape != shape:
            raise ShapeError("network memory", shape, memory.shape)
        for array in recording.before:
            upto = at + array.shape[1]
            self.backend.write(array, np.ascontiguousarray(memory[:, at:upto]))
            at = upto

    def _plan(self, params: Array, batch: int, masked: bool = False) -> _Plan:
        if params is not self._params:
            self._use(params)
        key = -batch if masked else batch
        plan = self._plans.get(key)
        if plan is None:
            if not 0 < batch <= self.capacity or batch % self.times:
                expected = f"1..{self.capacity} rows" + f", {self.times} a stream" * (
                    self.times > 1
                )
                raise ShapeError("network input", expected, f"{batch} rows")
            if len(self._plans) >= _MAX_PLANS:
                del self._plans[next(iter(self._plans))]
            plan = self._plans[key] = self._record_forward(params, batch, masked)
        return plan

    def _use(self, params: Array) -> None:
        """Turn to the plans of ``params``; forget the vector that came first if there are many."""
        known = self._vectors.get(id(params))
        if known is None:
            if params.shape != (self.net.n_params,):
                raise ShapeError("parameters", (self.net.n_params,), params.shape)
            if len(self._vectors) >= _MAX_VECTORS:
                del self._vectors[next(iter(self._vectors))]
            known = self._vectors[id(params)] = (params, {})
        self._params, self._plans = known

    def _record_forward(self, params: Array, batch: int, masked: bool) -> _Plan:
        calls = self._calls if self.training else None
        noise = self._calls if self.noisy else None
        mask = self._mask(batch) if masked else None
        recording = Recording(
            *(self.backend, self._arena, batch, params),
            mask=mask,
            calls=calls,
            noise=noise,
            times=self.times,
        )
        x = recording.new(self.net.input_shape, self.net.input_kind)
        replay, dy = None, None
        if self.memory is None:
            y = self.net.root.forward(recording, x)
        else:
            replay = Replay(self.net.root, self.memory.again, self.memory.reads_input)
            y = replay.forward(recording, x)
            dy = recording.new(self.net.output_shape)  # planned between forward and backward
        steps, taken = recording.steps, recording.taken
        return _Plan(recording, x, y, x.shape, mask, steps, taken, replay, dy)

    def _mask(self, batch: int) -> Array:
        if self._masks is None:
            self._masks = self.backend.zeros((self.capacity, *self.net.output_shape), "uint8")
        return self.backend.rows(self._masks, 0, batch)

    def _record_backward(self, plan: _Plan, gradient: Array) -> tuple[Array, list[Step]]:
        if gradient.shape != (self.net.n_params,):
            raise ShapeError("gradient", (self.net.n_params,), gradient.shape)
        assert plan.dy is not None
        if len(plan.backward) >= _MAX_VECTORS:
            del plan.backward[next(iter(plan.backward))]
        recording = plan.recording
        recording.begin_backward(gradient, plan.forward_taken)
        self.backend.fill(gradient, 0.0)()  # once: what no layer writes stays 0
        if plan.replay is None:
            self.net.root.backward(recording, plan.x, plan.y, plan.dy, need_dx=False)
        else:
            plan.replay.backward(recording, plan.dy)
        for penalty in self.net.penalties:
            p, g = recording.p(penalty.slot), recording.g(penalty.slot)
            recording.do(self.backend.penalty(p, g, penalty.l1, penalty.l2))
        known = plan.backward[id(gradient)] = (gradient, recording.steps)
        return known
