"""Options that several chess commands share."""

from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option(help="A model's file, or `material`.", show_default="the shipped model"),
]
Threads = Annotated[int, typer.Option(min=1, help="BLAS threads.")]
Engine = Annotated[str | None, typer.Option(help="A UCI engine's command.", show_default=False)]
EngineOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="An option of that engine.", show_default=False),
]
Limit = Annotated[
    str, typer.Option(help="The rival's, a move: nodes=N, depth=N, time=S, or several with commas.")
]
Against = Annotated[
    str | None,
    typer.Option(help="Instead of an engine: a model, or `material`.", show_default=False),
]
