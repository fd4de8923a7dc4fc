"""``agentd check-client``: is it right, the client that you have written?"""

import asyncio
import textwrap
from typing import Annotated, Any

import typer

from agentd.cli.screen.options import JsonScreen
from agentd.conformance.check import check_client
from agentd.conformance.findings import Verdict
from agentd.conformance.stage import ADDRESS, Stage
from agentd.errors import JobFailed

WIDTH = 96


def check(
    out: JsonScreen,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND ...]",
            help=f"Starts the client, several times; {ADDRESS} in it becomes HOST:PORT.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    timeout: Annotated[
        float, typer.Option(min=0.5, max=3600, help="Seconds that the client may take for a step.")
    ] = 10.0,
) -> None:
    """Drive a client through every rule of the protocol, and tell which it breaks.

    The client plays any game; the check answers with random legal actions. Without a COMMAND it
    waits for the client to connect, and to connect again.
    """
    stage = Stage(command or (), timeout)
    asyncio.run(_run(stage, host, port, out))
    passed, failed, unseen = stage.findings.counts()
    verdicts = list(stage.findings.verdicts())
    record = {
        "rules": [verdict.record() for verdict in verdicts],
        "passed": passed,
        "failed": failed,
        "not_seen": unseen,
        "ended_early": stage.notes,
    }
    summary = f"{passed} passed, {failed} failed, {unseen} not seen"
    notes = [f"scene {name}: {note}" for name, note in stage.notes.items()]
    out.report(record, "\n".join([*map(describe, verdicts), *notes, summary]))
    if failed or not passed:
        raise JobFailed(f"the client breaks {failed} rules" if failed else "nothing was seen")


async def _run(stage: Stage, host: str, port: int, out: Any) -> None:
    address = await stage.listen(host, port)
    tell = out.note if out.json else out.say
    tell(f"listening on {address}")
    try:
        await check_client(stage, lambda name: out.note(f"scene: {name}"))
    finally:
        await stage.close()


def describe(verdict: Verdict) -> str:
    """The verdict on a rule in a line, with what is to be said of one that is not OK below."""
    rule = verdict.rule
    line = f"{rule.number:<4}{rule.name:<24}{verdict.outcome}"
    more = []
    if verdict.breach is not None:
        more = [("expected", verdict.breach.expected), ("got", verdict.breach.got)]
        more.append(("fix", rule.fix))
    elif verdict.outcome == "NOT SEEN":
        more = [("to see it", rule.see)]
    for name, text in more:
        head = f"    {name:<10}"
        lines = textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
        line += "\n" + "\n".join(lines)
    return line
