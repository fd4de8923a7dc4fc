"""R12: grants, and token files that cannot be trusted."""

import pytest

from agentd.auth import Grant, TokenFileError, Tokens

ACT, ADMIN = "a" * 16, "b" * 16


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


def test_without_tokens_everyone_on_loopback_is_admin():
    assert Tokens().grant(None) is Grant.ADMIN
    assert not Tokens().required


def test_a_token_gives_its_grant_and_nothing_else_does(tmp_path):
    tokens = Tokens.from_file(write(tmp_path / "t", f"act {ACT}\n# note\nadmin {ADMIN} # me\n"))

    assert [tokens.grant(t) for t in (ACT, ADMIN)] == [Grant.ACT, Grant.ADMIN]
    assert [tokens.grant(t) for t in (None, "", ACT[:-1], "x" * 16)] == [Grant.NONE] * 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "at least one"),
        ("boss " + ACT, "act|learn|admin"),
        ("act", "got 1 word"),
        ("act short", "at least 16 characters, got 5"),
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path, text, says):
    with pytest.raises(TokenFileError) as caught:
        Tokens.from_file(write(tmp_path / "t", text))
    assert says in str(caught.value)
    assert str(tmp_path / "t") in str(caught.value)


def test_a_file_others_may_read_is_refused(tmp_path):
    with pytest.raises(TokenFileError, match="0600"):
        Tokens.from_file(write(tmp_path / "t", f"act {ACT}\n", mode=0o644))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TokenFileError, match="cannot read"):
        Tokens.from_file(tmp_path / "absent")
