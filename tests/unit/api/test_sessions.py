from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.sessions import Sessions

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Moment:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def a_place(moment: Moment | None = None, secret: bytes = b"s" * 32) -> Sessions:
    return Sessions(secret, moment or Moment(), secrets.token_bytes, hours=12)


def test_a_session_names_its_key_until_it_is_over() -> None:
    moment = Moment()
    sessions = a_place(moment)
    cookie = sessions.start("abc123")
    assert sessions.key_id(cookie) == "abc123"
    moment.now = NOW + timedelta(hours=12, seconds=1)
    assert sessions.key_id(cookie) is None


def test_two_sessions_of_one_key_differ() -> None:
    sessions = a_place()
    assert sessions.start("abc123") != sessions.start("abc123")


def test_a_session_ends_with_the_secret() -> None:
    assert a_place(secret=b"t" * 32).key_id(a_place().start("abc123")) is None


@given(st.text(max_size=200))
def test_no_invented_cookie_is_a_session(cookie: str) -> None:
    assert a_place().key_id(cookie) is None


@given(st.integers(min_value=0, max_value=200), st.characters())
def test_a_cookie_with_one_character_changed_is_no_session(place: int, character: str) -> None:
    sessions = a_place()
    cookie = sessions.start("abc123")
    place %= len(cookie)
    changed = cookie[:place] + character + cookie[place + 1 :]
    assert sessions.key_id(changed) == ("abc123" if changed == cookie else None)


def test_the_token_of_forms_belongs_to_one_session() -> None:
    sessions = a_place()
    mine, other = sessions.start("abc123"), sessions.start("abc123")
    assert sessions.csrf_holds(mine, sessions.csrf(mine))
    assert not sessions.csrf_holds(mine, sessions.csrf(other))
    assert not sessions.csrf_holds(mine, "")
