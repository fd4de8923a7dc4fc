"""Who may do what (R12): tokens with a grant each, compared in constant time.

A token file has one ``grant token`` pair a line; ``#`` starts a comment. Grants are ordered,
each containing the one before it::

    act     hello as eval or play
    learn   … and as train; teach
    admin   … and every operation (R11)
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from enum import IntEnum
from pathlib import Path

MIN_TOKEN_CHARS = 16


class Grant(IntEnum):
    """What a connection may do; a higher grant contains the lower ones."""

    NONE = 0
    ACT = 1
    LEARN = 2
    ADMIN = 3


class TokenFileError(ValueError):
    """A token file that cannot be trusted: names file, line, expected and got."""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class Tokens:
    """The set of known tokens, kept as digests. Without any, everyone on loopback is admin."""

    def __init__(self, pairs: list[tuple[Grant, str]] | None = None) -> None:
        self._pairs = None if pairs is None else [(grant, _digest(token)) for grant, token in pairs]

    @property
    def required(self) -> bool:
        """True when a token must be shown."""
        return self._pairs is not None

    def grant(self, token: str | None) -> Grant:
        """The grant of ``token``; every known token is compared, so timing tells nothing."""
        if self._pairs is None:
            return Grant.ADMIN
        shown, found = _digest(token or ""), Grant.NONE
        for grant, known in self._pairs:
            if hmac.compare_digest(shown, known):
                found = max(found, grant)
        return found if token else Grant.NONE

    @classmethod
    def from_file(cls, path: Path) -> Tokens:
        """Read a token file. Raises TokenFileError (unreadable, too open, malformed)."""
        try:
            mode = os.stat(path).st_mode
            if not stat.S_ISREG(mode):  # a pipe might never end
                raise TokenFileError(f"{path}: expected a token file, got no regular file")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise TokenFileError(f"{path}: cannot read the token file: {fault}") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise TokenFileError(
                f"{path}: want mode 0600, got {stat.S_IMODE(mode):04o}; run: chmod 600 {path}"
            )
        pairs = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split("#", 1)[0].split()
            if words:
                pairs.append(_pair(f"{path}:{number}", words))
        if not pairs:
            raise TokenFileError(f"{path}: want at least one 'grant token' line, got none")
        return cls(pairs)


def _pair(at: str, words: list[str]) -> tuple[Grant, str]:
    names = {"act": Grant.ACT, "learn": Grant.LEARN, "admin": Grant.ADMIN}
    if len(words) != 2 or words[0] not in names:
        raise TokenFileError(f"{at}: want 'act|learn|admin TOKEN', got {len(words)} word(s)")
    if len(words[1]) < MIN_TOKEN_CHARS:
        raise TokenFileError(
            f"{at}: want a token of at least {MIN_TOKEN_CHARS} characters, got {len(words[1])}"
        )
    return names[words[0]], words[1]
