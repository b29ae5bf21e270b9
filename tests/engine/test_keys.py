"""Keys of inputs are known again, whatever they look like, and those that count up take little memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.engine.keys import Keys

KEY = st.one_of(
    st.builds("{}:{}".format, st.sampled_from(["i", "j", "", "i:1"]), st.integers(0, 9)),
    st.sampled_from(["i:01", "i:", "i", "i:\u0661", "i:-1", "i: 1", ":1", "1", "i:1:1", "i:" + "9" * 20]),
)


@given(st.lists(st.tuples(KEY, st.integers(1, 99)), max_size=40))
def test_keys_are_known_as_in_a_plain_dict(steps: list[tuple[str, int]]) -> None:
    """The newest version of each key is known, and no other key is."""
    found, plain = Keys(), dict[str, int]()
    for key, version in steps:
        assert found.get(key) == plain.get(key)
        found.put(key, version)
        plain[key] = version
    assert all(found.get(key) == version for key, version in plain.items())


def test_keys_that_count_up_take_eight_bytes() -> None:
    """A hundred thousand keys of an importer take less than a tenth of what their texts take."""
    found = Keys()
    tracemalloc.start()
    try:
        for number in range(1, 100_001):
            found.put(f"i:{number}", 3 * number)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1_000_000 and found.get("i:77777") == 3 * 77_777 and found.get("i:100001") is None
