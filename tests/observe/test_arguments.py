"""Stubs of arguments: the same object, with size and digest in place of long texts."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.limits import ARGUMENT_CHARS
from clawvm_es.observe.arguments import DIGEST_DIGITS, stub_of
from clawvm_es.observe.fields import parse_json
from clawvm_es.observe.signatures import Lexeme, canonical

TEXTS = st.one_of(st.text(max_size=5), st.integers(0, 3).map(lambda n: "é" * (ARGUMENT_CHARS - 1 + n)))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("ab", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def plainly(value):
    """A value with stubs, by the words of the law."""
    if isinstance(value, dict):
        return {name: plainly(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plainly(item) for item in value]
    if not isinstance(value, str) or len(value) <= ARGUMENT_CHARS:
        return value
    body = value.encode()
    return f"[{len(body)} bytes, sha256 {sha256(body).hexdigest()[:DIGEST_DIGITS]}]"


@given(st.dictionaries(st.text("abc", max_size=3), VALUES, max_size=4))
def test_a_stub_has_the_keys_and_all_but_the_long_texts(arguments):
    """Of arguments of any shape; where no text is long there is no stub (LAW-ARGUMENTS-1)."""
    wanted = plainly(arguments)
    found = stub_of(arguments)
    assert (found is None) == (wanted == arguments)
    assert found is None or parse_json(found) == wanted


def test_a_long_number_is_no_text():
    """A number is kept as it was written, whatever its length."""
    number = Lexeme("1" * (ARGUMENT_CHARS + 50))
    assert stub_of({"n": number}) is None
    assert canonical({"n": number}) == f'{{"n":{number}}}'


def test_the_digest_is_that_of_the_text_that_may_be_kept():
    """What hides a credential is applied first: the stub tells nothing about it."""
    text = "key " * 100
    assert stub_of({"t": text}, lambda found: found.replace("key", "???")) == stub_of({"t": "??? " * 100})


def test_arguments_that_are_nested_too_deep_have_no_stub():
    """They are kept in full alone."""
    deep: object = "x" * (ARGUMENT_CHARS + 1)
    for _ in range(100_000):
        deep = [deep]
    assert stub_of({"deep": deep}) is None
