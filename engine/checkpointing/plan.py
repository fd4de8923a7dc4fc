"""A training pass's memory, planned: what is kept, what is replayed, where everything lies.

ladder = plan_memory(net, 256, MemorySpec(budget=0.3))
plan = ladder.at(0.3)                  # plan.peak, plan.saved, plan.replayed: as they will be
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from agentd.engine.backend import Kind
from agentd.engine.checkpointing.choice import Part, cheapest_by_kept, cheapest_by_peak, choose
from agentd.engine.checkpointing.placement import Buffer, most_alive, place
from agentd.engine.checkpointing.spec import (
    LayerCost,
    MemorySpec,
    Policy,
    PolicyFunction,
    check_budget,
    policy_of,
)
from agentd.engine.checkpointing.tracing import NUMBER, BufferLife, PassTrace, Placed, trace_pass
from agentd.engine.errors import ModelError

_SHORT = 40
"""Parts up to which each plan is tried without one replay after the other."""


@dataclass(frozen=True)
class MemoryPlan:
    """A pass whose layers marked in ``again`` are replayed; ``reads_input`` as `Replay` has it.

    saved     bytes kept between forward and backward
    replayed  operations of the second forwards
    """

    trace: PassTrace
    again: tuple[bool, ...]
    cost: int
    rows: int

    @property
    def reads_input(self) -> tuple[bool, ...]:
        return self.trace.reads_input

    @property
    def saved(self) -> int:
        return self.trace.saved

    @property
    def replayed(self) -> int:
        return self.trace.replayed

    @property
    def peak(self) -> int:
        """Bytes of the memory that all activations and their gradients share."""
        return NUMBER * sum(self.sizes.values())

    @property
    def sizes(self) -> dict[Kind, int]:
        """Numbers of shared memory by kind."""
        return {kind: total for kind, (_, total) in self._placed.items()}

    @cached_property
    def offsets(self) -> list[tuple[Kind, int]]:
        """Where each buffer begins, in the order in which a recording asks for them."""
        ways = {kind: iter(offsets) for kind, (offsets, _) in self._placed.items()}
        return [(life.kind, next(ways[life.kind])) for life in self.trace.lives]

    @cached_property
    def alive(self) -> int:
        """Bytes that live at one time, at most: no placement takes less."""
        return NUMBER * sum(most_alive(rooms) for rooms in self._rooms.values())

    @property
    def _rooms(self) -> dict[Kind, list[Buffer]]:
        kinds = dict.fromkeys(life.kind for life in self.trace.lives)
        return {k: [life.room for life in self.trace.lives if life.kind == k] for k in kinds}

    @cached_property
    def _placed(self) -> dict[Kind, tuple[list[int], int]]:
        return {kind: place(rooms) for kind, rooms in self._rooms.items()}


class Ladder:
    """All plans worth having for passes of up to ``rows`` rows, and what each layer costs.

    Raises ModelError for a budget that is none, a policy that nothing can follow, and a layer
    that cannot be replayed and is not `must_save`.
    """

    def __init__(
        self, net: Placed, rows: int, spec: MemorySpec, choose_policy: PolicyFunction | None
    ) -> None:
        check_budget(spec.budget)
        self.rows, self.bound = rows, spec.bound
        self._net = net
        self._trace = trace_pass(net, rows)
        self._groups = _group(net, self._trace)
        self.costs = [self._cost(group) for group in self._groups]
        policies = [policy_of(cost, spec.policy, choose_policy) for cost in self.costs]
        self.policies = tuple(policies)
        for cost, policy in zip(self.costs, policies, strict=True):
            if policy != "must_save":
                _refuse_moved(net, cost)
        self._parts = [
            self._part(group, policy) for group, policy in zip(self._groups, policies, strict=True)
        ]

    @property
    def plain_bytes(self) -> int:
        """Bytes of a pass in which every buffer has memory of its own."""
        return NUMBER * sum(life.room.room for life in self._trace.lives)

    @property
    def saved_bytes(self) -> int:
        """Bytes that a pass without replays keeps between forward and backward."""
        return self._trace.saved

    @cached_property
    def rungs(self) -> list[MemoryPlan]:
        """The plans that no other beats in peak and cost, by rising peak and falling cost."""
        choices = {c.replayed: c.cost for c in cheapest_by_kept(self._parts)}
        choices |= {c.replayed: c.cost for c in cheapest_by_peak(self._parts)}
        plans = _unbeaten([self._plan(parts, cost) for parts, cost in choices.items()])
        return _unbeaten([*plans, *map(self._cheaper, plans)])

    def at(self, budget: float) -> MemoryPlan:
        """Return the plan of a budget: the cheapest within it.

        Of the peak: from that of the lowest rung at 0 to ``plain_bytes`` at 1. It falls with the
        budget, since no rung is higher and dearer than another. Of the bytes saved: that share of
        ``saved_bytes``, exactly.
        """
        check_budget(budget)
        if self.bound == "saved":
            found = choose(self._parts, int(budget * self.saved_bytes) // NUMBER, None)
            assert found is not None, "every part may be kept or replayed"
            return self._plan(found.replayed, found.cost)
        low = self.rungs[0].peak
        limit = low + budget * max(self.plain_bytes - low, 0)
        return [plan for plan in self.rungs if plan.peak <= limit][-1]

    def parts_again(self, plan: MemoryPlan | None) -> list[bool]:
        """Return of each of ``costs`` whether ``plan`` computes it twice; None keeps everything."""
        return [plan is not None and plan.again[group[0]] for group in self._groups]

    def _plan(self, parts: Sequence[bool], cost: int) -> MemoryPlan:
        again = [False] * len(self._net.root.layers)
        for group, replayed in zip(self._groups, parts, strict=True):
            for i in group:
                again[i] = replayed
        trace = trace_pass(self._net, self.rows, again, self._trace.reads_input)
        return MemoryPlan(trace, tuple(again), cost, self.rows)

    def _cheaper(self, plan: MemoryPlan) -> MemoryPlan:
        """Return a plan that replays less in no more memory: the choice only estimates peaks."""
        if len(self._parts) > _SHORT:
            return plan
        order = sorted(range(len(self._parts)), key=lambda i: -self._parts[i].cost_replayed)
        for i in order:
            part, group = self._parts[i], self._groups[i]
            saves = part.cost_replayed - part.cost_kept
            if not (plan.again[group[0]] and part.may_keep and saves > 0):
                continue
            parts = [plan.again[g[0]] and g is not group for g in self._groups]
            tried = self._plan(parts, plan.cost - saves)
            if tried.alive <= plan.peak and tried.peak <= plan.peak:
                plan = tried
        return plan

    def _cost(self, group: Sequence[int]) -> LayerCost:
        names = tuple(name for i in group for name in self._net.root.names[i])
        kept = sum(life.room.size for life in self._of(group) if self._trace.is_saved(life))
        flops = sum(
            step.flops
            for step in self._trace.steps
            if step.layer in group and step.phase == "forward"
        )
        return LayerCost(names, NUMBER * kept, flops)

    def _of(self, group: Sequence[int]) -> list[BufferLife]:
        """Return the buffers that forward of these layers asked for."""
        return [t for t in self._trace.lives if t.layer in group and t.phase == "forward"]

    def _part(self, group: Sequence[int], policy: Policy | None) -> Part:
        trace = self._trace
        out = trace.output_of[group[-1]]
        own = trace.lives[out] if out is not None else None
        mine = own is not None and own.layer in group and not own.pinned
        forward = [life for life in self._of(group) if not life.pinned]
        steps = [i for i, s in enumerate(trace.steps) if s.layer in group and s.phase == "backward"]
        span = (steps[0], steps[-1]) if steps else (-1, -1)
        ahead = [life for life in trace.lives if life.phase == "backward"]
        return Part(
            keeps=sum(_room(life) for life in forward if trace.is_saved(life)),
            output=_room(own) if mine and own is not None else 0,
            holds_output=mine and own is not None and trace.is_saved(own),
            forward=_most(forward, 0, trace.forward_steps - 1),
            incoming=_most([life for life in ahead if life.room.first < span[0]], span[0], span[0]),
            backward=_most(ahead, *span),
            flops=self._cost(group).flops,
            may_keep=policy != "must_recompute",
            may_replay=policy != "must_save",
            rather_keep=policy == "prefer_save",
            rather_replay=policy == "prefer_recompute",
            reads_input=any(trace.reads_input[i] for i in group[:1]),
        )


def plan_memory(
    net: Placed, rows: int, spec: MemorySpec, choose_policy: PolicyFunction | None = None
) -> Ladder:
    """Return the plans of training passes of up to ``rows`` rows; see `Ladder`."""
    return Ladder(net, rows, spec, choose_policy)


def _unbeaten(plans: Sequence[MemoryPlan]) -> list[MemoryPlan]:
    best: list[MemoryPlan] = []
    for plan in sorted(plans, key=lambda plan: (plan.peak, plan.cost)):
        if not best or plan.cost < best[-1].cost:
            best.append(plan)
    return best


def _room(life: BufferLife) -> int:
    return life.room.size


def _most(lives: Sequence[BufferLife], first: int, last: int) -> int:
    """Return the most numbers that live at one step from ``first`` to ``last``."""
    return max(
        (
            sum(_room(life) for life in lives if life.room.first <= at <= life.room.last)
            for at in {max(life.room.first, first) for life in lives}
            if first <= at <= last
        ),
        default=0,
    )


def _group(net: Placed, trace: PassTrace) -> list[list[int]]:
    """Join each layer without memory of its own (a reshape) to the one whose memory it shows."""
    owners = {life.layer for life in trace.lives if life.phase == "forward"}
    groups: list[list[int]] = []
    for i in range(len(net.root.layers)):
        if groups and (i not in owners or not owners & set(groups[-1])):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _refuse_moved(net: Placed, cost: LayerCost) -> None:
    """Raise ModelError where a layer of these moves statistics whenever it is computed."""
    for moved in net.moved:
        if any(moved == name or moved.startswith(f"{name}.") for name in cost.names):
            raise ModelError(
                f"{moved}: cannot be replayed, it would move its statistics twice; "
                "give it the memory policy must_save, or a memory budget of 1 to all"
            )
