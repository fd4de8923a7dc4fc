"""``agentd sdk``: the clients for other languages, written into the folder of a game."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from agentd.cli.screen.options import JsonScreen
from agentd.cli.screen.terminal import Terminal
from agentd.errors import UsageError

NOT_OURS = ("__pycache__", "node_modules")
"""What the tools of a language leave in its folder."""


def sdk(
    out: JsonScreen,
    language: Annotated[
        str | None, typer.Argument(help="Which client; without one they are listed.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="The folder to write it to.")
    ] = None,
) -> None:
    """Write the client for a language into a folder; without a language, list what there is.

    No file is ever overwritten.
    """
    known = languages()
    if language is None:
        if to is not None:
            raise UsageError("--out: name the language, too", hint=f"one of {', '.join(known)}")
        tell(out, known)
        return
    if language not in known:
        raise UsageError(f"no client for {language!r}", hint=f"there are {', '.join(known)}")
    if to is None:
        raise UsageError(
            f"{language}: want a folder to write to", hint=f"agentd sdk {language} --out DIR"
        )
    written = write_out(known[language], to)
    record = {"language": language, "out": str(to), "files": written}
    out.report(record, "\n".join(str(to / name) for name in written))
    out.note(f"begin with {to / 'README.md'}")


def languages() -> dict[str, Traversable]:
    """The folder of each language's client, by its name."""
    folder = files("agentd") / "sdk"
    found = {each.name: each for each in folder.iterdir() if each.is_dir()}
    return {name: found[name] for name in sorted({*found} - {*NOT_OURS})}


def tell(out: Terminal, known: dict[str, Traversable]) -> None:
    """List the clients with the titles of their pages."""
    titles = {name: title_of(folder) for name, folder in known.items()}
    width = max(map(len, titles), default=0)
    lines = [f"{name:<{width}}  {title}".rstrip() for name, title in titles.items()]
    out.report({"languages": titles}, "\n".join(lines))


def title_of(folder: Traversable) -> str:
    """The first line of a client's README."""
    first = (folder / "README.md").read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ")


def write_out(folder: Traversable, to: Path) -> list[str]:
    """Copy every file of ``folder`` into ``to``; return their names there.

    Raises UsageError, with nothing written, when a file is there already; OSError.
    """
    data = dict(walk(folder))
    for name in data:
        if (to / name).exists():
            raise UsageError(f"{to / name} exists", hint="choose another folder")
    for name, content in data.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        with (to / name).open("xb") as file:
            file.write(content)
    return list(data)


def walk(folder: Traversable, above: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file below ``folder``, in order."""
    for each in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if each.name in NOT_OURS:
            continue
        name = f"{above}{each.name}"
        if each.is_dir():
            yield from walk(each, f"{name}/")
        else:
            yield name, each.read_bytes()
