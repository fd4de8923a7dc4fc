"""``agentd check-env``: is it right, the Gymnasium environment that you have written?"""

from typing import Annotated, Any

import typer

from agentd.cli.rl.environment import EnvArg, MaxEpisodeSteps, read_arguments
from agentd.cli.screen.options import JsonScreen
from agentd.client.choices import ActionShape, wire_action
from agentd.conformance.findings import Outcome
from agentd.errors import JobFailed
from agentd.rl.games import GYM, check_game, is_foreign
from agentd.rl.tasks import GameSource


def check(
    out: JsonScreen,
    env: Annotated[
        str, typer.Argument(metavar="ID", help="gym:<id>, module:<id>, or an id of Gymnasium's.")
    ],
    env_arg: EnvArg = None,
    max_episode_steps: MaxEpisodeSteps = None,
    steps: Annotated[int, typer.Option(min=1, max=10_000_000, help="Random steps.")] = 2_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the environment and the actions.")] = 0,
) -> None:
    """Play a Gymnasium environment at random, and tell what it does other than its spaces say.

    What agentd makes of it is told as well: the tensors and the actions of its schema.
    """
    name = env if is_foreign(env) else GYM + env
    source = GameSource(name, read_arguments(env_arg or ()), max_episode_steps)
    check_game(source)  # before Gymnasium is needed

    from agentd.conformance.environment import EnvReport, check_environment

    found: EnvReport = check_environment(source, steps, seed)
    failed = [verdict.name for verdict in found.verdicts if verdict.outcome == "FAILED"]
    out.report(_record(name, found), _text(found))
    if failed:
        raise JobFailed(f"{name}: {', '.join(failed)}")


def _record(name: str, found: Any) -> dict[str, Any]:
    return {
        "env": name,
        "checks": [verdict._asdict() for verdict in found.verdicts],
        "failed": sum(verdict.outcome == "FAILED" for verdict in found.verdicts),
        "steps": found.steps,
        "episodes": found.episodes,
        "longest_episode": found.longest,
        "steps_per_second": round(found.steps_per_second, 1),
        "observation": {
            tensor: {"dtype": dtype, "shape": list(shape)}
            for tensor, (dtype, shape) in found.observation.items()
        },
        "actions": found.actions,
        "masks_in": found.masks_in,
    }


def _text(found: Any) -> str:
    lines = []
    for verdict in found.verdicts:
        lines.append(f"{verdict.name:<20}{verdict.outcome}")
        if verdict.outcome == "FAILED":
            lines += [f"    expected  {verdict.expected}", f"    got       {verdict.got}"]
            lines.append(f"    fix       {verdict.advice}")
        elif verdict.outcome == "NOT SEEN" and verdict.advice:
            lines.append(f"    to see it {verdict.advice}")
    if found.actions is not None:
        tensors = ", ".join(
            f"{tensor} {dtype}{list(shape)}" for tensor, (dtype, shape) in found.observation.items()
        )
        shape, kind = ActionShape.of(found.actions), wire_action(found.actions)["kind"]
        actions = f"{kind}({shape})" if kind != "multi_discrete" else f"{kind}{list(shape.heads)}"
        masks = f", masks in {found.masks_in}" if found.masks_in else ""
        lines.append(f"schema: {tensors} -> {actions}{masks}")
    if found.steps_per_second:
        rate = f"{found.steps_per_second:,.0f} steps/s"
        lines.append(f"{found.steps} steps, {found.episodes} episodes, {rate}")
    outcomes: tuple[Outcome, ...] = ("OK", "FAILED", "NOT SEEN")
    passed, failed, unseen = (
        sum(verdict.outcome == outcome for verdict in found.verdicts) for outcome in outcomes
    )
    lines.append(f"{passed} passed, {failed} failed, {unseen} not seen")
    return "\n".join(lines)
