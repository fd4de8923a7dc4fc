"""Numbers as views print them."""


def number(value: float, form: str = ",.1f") -> str:
    """``value`` in ``form``, or a dash for one that is not known."""
    return format(value, form) if value == value else "–"


def clock(seconds: float) -> str:
    """Seconds as m:ss, or a dash."""
    if seconds != seconds:
        return "–"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
