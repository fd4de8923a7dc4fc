"""One check of a client, from its first connection to the verdicts."""

from collections.abc import Callable, Mapping

from agentd.conformance.scenes import SCENES, Scene
from agentd.conformance.stage import Stage
from agentd.conformance.visit import Absent, Over
from agentd.errors import Unavailable


async def check_client(
    stage: Stage, on_scene: Callable[[str], None], scenes: Mapping[str, Scene] = SCENES
) -> None:
    """Play the scenes on a stage that listens; ``on_scene`` gets the name of each.

    Raises Unavailable when no client ever connected, MissingInput when it cannot be started.
    """
    for name, scene in scenes.items():
        on_scene(name)
        try:
            await stage.enter()
            await scene(stage)
        except Over as over:
            words = stage.last_words()
            note = f"{over}; the client's last line: {words}" if words else str(over)
            stage.notes[name] = note
            if isinstance(over, Absent) and not stage.clients:
                raise Unavailable(note, hint=f"it should dial {stage.address}") from None
            if isinstance(over, Absent) and not stage.starts_it:
                return
        finally:
            await stage.leave()
