"""What can be wrong with a data file, said in one line: where, what was expected, what came."""

from agentd.engine.errors import EngineError


class DataError(EngineError):
    """Raised when a file of data does not hold what it should.

    ``row`` counts lines of a text file and records of any other from 1; ``column`` counts from 1
    or is a column's name.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str = "",
        row: int | None = None,
        column: int | str | None = None,
        expected: object = "",
        got: object = "",
        hint: str = "",
    ) -> None:
        self.message, self.file, self.row, self.column = message, file, row, column
        self.expected, self.got, self.hint = str(expected), str(got), hint
        place = [file] if file else []
        if row is not None:
            place.append(f"row {row}")
        if column is not None:
            place.append(f"column {column}" if isinstance(column, int) else f"column `{column}`")
        text = (", ".join(place) + ": " if place else "") + message
        text += f": expected {self.expected}" if self.expected else ""
        text += f", got {self.got}" if self.got else ""
        super().__init__(text + (f"; {hint}" if hint else ""))


def show(text: object, limit: int = 40) -> str:
    """Return a value from a file as an error message may show it: quoted and short."""
    shown = repr(text)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."
