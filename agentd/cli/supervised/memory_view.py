"""What a training pass keeps, layer by layer, and how its peak falls with the memory budget."""

from pathlib import Path
from typing import Any

from agentd.assembly.budget import in_bytes
from agentd.cli.screen.curve import draw_curve
from agentd.cli.screen.png import save_figure
from agentd.engine.checkpointing import MemoryPlan, MemorySpec, plan_memory
from agentd.engine.checkpointing.spec import check_budget, refuse_unknown
from agentd.engine.errors import ModelError
from agentd.engine.network import Network
from agentd.engine.strictyaml import ConfigError

_STEPS = 20
"""Budgets of the curve: this many and one."""


def read_budget(text: str | None) -> float | None:
    """Return the value of --memory-budget. Raises ConfigError unless it is from 0 to 1."""
    if text is None:
        return None
    try:
        budget = float(text)
        check_budget(budget)
    except ValueError:  # a ModelError is one
        wish = "a number from 0 to 1"
        raise ConfigError("wrong value", key="--memory-budget", expected=wish, got=text) from None
    return budget


class MemoryView:
    """The memory of training passes of ``rows`` rows; without ``budget`` the model file's counts.

    Raises ConfigError where the file's policies cannot be followed.
    """

    def __init__(
        self, network: Network, rows: int, spec: MemorySpec, budget: float | None = None
    ) -> None:
        self.rows = rows
        self.budget = spec.budget if budget is None else budget
        try:
            refuse_unknown(spec.policy, network.specs)
            self.ladder = plan_memory(network, rows, spec)
        except ModelError as fault:
            raise ConfigError(str(fault), key="memory") from None
        self.chosen = self._plan(self.budget)
        self.curve = [(i / _STEPS, self._plan(i / _STEPS)) for i in range(_STEPS + 1)]

    def record(self) -> dict[str, Any]:
        """The table and the curve for --json; bytes, and operations of one step."""
        ladder = self.ladder
        again = self._again()
        layers = [
            {
                "names": list(cost.names),
                "saved_bytes": cost.nbytes,
                "flops": cost.flops,
                "policy": ladder.policies[i],
                "recomputed": again[i],
            }
            for i, cost in enumerate(ladder.costs)
        ]
        curve = [{"budget": budget, **self._figures(plan)} for budget, plan in self.curve]
        return {
            "batch": self.rows,
            "bound": ladder.bound,
            "budget": self.budget,
            "layers": layers,
            **self._figures(self.chosen),
            "curve": curve,
        }

    def lines(self) -> list[str]:
        """The table and the curve for a person."""
        ladder, figures = self.ladder, self._figures(self.chosen)
        names = [" + ".join(cost.names) for cost in ladder.costs]
        width = max(len("layer"), *map(len, names))
        head = f"{'layer':<{width}} {'kept':>9} {'forward':>9}  at budget {self.budget:g}"
        lines = [f"activations of a batch of {self.rows}", head]
        for name, cost, again in zip(names, ladder.costs, self._again(), strict=True):
            what = "computed twice" if again else "kept"
            kept, flops = in_bytes(cost.nbytes), in_flops(cost.flops)
            lines.append(f"{name:<{width}} {kept:>9} {flops:>9}  {what}")
        forward = sum(cost.flops for cost in ladder.costs)
        lines.append(
            f"at most {in_bytes(figures['peak_bytes'])} at once, of which "
            f"{in_bytes(figures['saved_bytes'])} wait for backward; "
            f"{in_flops(figures['replayed_flops'])} of {in_flops(forward)} are computed twice"
        )
        points = [(budget, self._figures(plan)["peak_bytes"] / 1e6) for budget, plan in self.curve]
        top = (0.0, max(peak for _, peak in points))
        title = "peak in MB against the memory budget"
        return [*lines, "", title, *draw_curve(points, x_label="budget", y_range=top)]

    def draw_png(self, path: Path) -> None:
        """Draw the curve into ``path``. Raises StorageError, UsageError."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
        axes = figure.subplots()
        axes.set(xlabel="memory budget", ylabel="MB of activations and their gradients")
        axes.grid(alpha=0.3)
        budgets = [budget for budget, _ in self.curve]
        figures = [self._figures(plan) for _, plan in self.curve]
        for key, name in (("peak_bytes", "peak"), ("saved_bytes", "kept for backward")):
            axes.step(budgets, [each[key] / 1e6 for each in figures], where="post", label=name)
        axes.set_ylim(bottom=0)
        axes.legend()
        save_figure(figure, path)

    def _plan(self, budget: float) -> MemoryPlan | None:
        """Return the plan of a budget; None for a pass that keeps everything."""
        plain = budget == 1 and not any(self.ladder.policies)
        return None if plain else self.ladder.at(budget)

    def _figures(self, plan: MemoryPlan | None) -> dict[str, int]:
        if plan is None:
            peak, saved, replayed = self.ladder.plain_bytes, self.ladder.saved_bytes, 0
        else:
            peak, saved, replayed = plan.peak, plan.saved, plan.replayed
        return {"peak_bytes": peak, "saved_bytes": saved, "replayed_flops": replayed}

    def _again(self) -> list[bool]:
        """Whether each part of the table is computed twice at the chosen budget."""
        return self.ladder.parts_again(self.chosen)


def in_flops(count: int) -> str:
    """A number of operations for people: 1.5 G."""
    size, units = float(count), ["", "k", "M", "G", "T"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f}" if not units[0] else f"{size:.1f} {units[0]}"
