"""Whether files and folders are still those that were opened: nobody took them away under us.

What was opened goes on working after its name is gone, and is lost at the end without an error. So
whoever promises that something is on the disk looks whether the disk still has it.
"""

from pathlib import Path

from agentd.errors import StorageError


class Footing:
    """Files and folders that must stay in their places."""

    def __init__(self, *paths: Path) -> None:
        """Remember what lies at ``paths`` now."""
        self._known = {path: _identity(path) for path in paths}

    def loss(self) -> str:
        """What is no longer there, in words; "" while all is. It touches the disk."""
        for path, known in self._known.items():
            found = _identity(path)
            if found != known:
                return f"{path} was {'removed' if found is None else 'replaced'} while in use"
        return ""

    def require(self) -> None:
        """Raise StorageError unless everything is in its place."""
        loss = self.loss()
        if loss:
            raise StorageError(loss, hint="restore it and start the daemon again")


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of what lies at ``path``; None when nothing does."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino
