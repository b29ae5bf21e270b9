"""Commitments: HMAC-SHA-256 of a body under its salt, however it is worked out."""

from __future__ import annotations

import hmac

from hypothesis import example, given
from hypothesis import strategies as st

from clawvm_es.journal.vault import SALT_BYTES, commitment_to


@example(bytes(SALT_BYTES), b"")
@example(bytes(range(SALT_BYTES)), bytes(1_024))
@example(bytes(range(SALT_BYTES)), bytes(1_025))
@given(
    st.one_of(st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES), st.binary(max_size=80)),
    st.one_of(st.binary(max_size=200), st.binary(min_size=1_000, max_size=1_100)),
)
def test_a_commitment_is_the_hmac_of_its_body(salt, body):
    """Short and long bodies, salts of ours and damaged ones of another length."""
    assert commitment_to(salt, body) == hmac.new(salt, body, "sha256").hexdigest()
