"""Passwords in URLs: known where a server is asked, printed nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.urls import Shown, shown, whole

PASSWORDS = st.text(st.characters(categories=["L", "N"], include_characters="!$%&'()*+,;=-._~:@"), min_size=6)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:pw@host:5432/db?schema=s", "postgresql://me@host:5432/db?schema=s"),
        ("postgresql://:pw@host/db", "postgresql://@host/db"),
        ("postgresql://host/db?password=pw&schema=s", "postgresql://host/db?schema=s"),
        ("postgresql://me@host/db?schema=s&password=pw", "postgresql://me@host/db?schema=s"),
        ("postgresql://a:p@h1:1,h2:2/db", "postgresql://a@h1:1,h2:2/db"),
        ("postgresql://a:p@q@h/db", "postgresql://a@h/db"),
    ],
)
def test_a_password_is_not_shown(url, told):
    """LAW-PASSWORD-1: the text has no password, however it is written down; the whole URL is known still."""
    found = shown(url)
    assert (f"{found}", json.loads(json.dumps(found)), whole(found)) == (told, told, url)
    assert shown(found) == found and whole(shown(found)) == url


@pytest.mark.parametrize("url", ["j.db", "sqlite:///a:b@c.db", "memory:", "postgresql://me@host:5432/db", "a:b@c"])
def test_other_places_stay_as_they_are(url):
    """A path, and a URL without a password, is the same object."""
    assert shown(url) is url and not isinstance(shown(url), Shown)
    assert whole(Path(url)) == str(Path(url))


@given(PASSWORDS)
def test_no_part_of_any_password_is_shown(password):
    """LAW-PASSWORD-1: whatever a password consists of, up to what ends a URL's authority."""
    for url in (f"postgresql://me:{password}@host/db", f"postgresql://me:{password}@host:1/db?schema=s"):
        assert password not in shown(url) and whole(shown(url)) == url
