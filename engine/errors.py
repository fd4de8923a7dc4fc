"""What can go wrong inside the engine, by name."""


class EngineError(ValueError):
    """Root of the engine's errors; each one says what was expected and what came."""


class ShapeError(EngineError):
    """Raised when an array has another shape than the network or the op was made for."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(f"{what}: expected shape {expected}, got {got}")
        self.what = what
        self.expected = expected
        self.got = got


class ArrayTypeError(EngineError):
    """Raised when an op gets something else than its backend's arrays, or other numbers."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(f"{what}: expected {expected}, got {got}")
        self.what = what
        self.expected = expected
        self.got = got


class ModelError(EngineError):
    """Raised when layers do not fit together: a Dense after an image, a pool larger than it."""
