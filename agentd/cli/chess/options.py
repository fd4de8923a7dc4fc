"""Options that several chess commands share."""

from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option(help="A model's file, or `material`.", show_default="the shipped model"),
]
Threads = Annotated[int, typer.Option(min=1, help="BLAS threads.")]
