"""Bounds of fields, as annotations on the event classes.

They are checked when an event is written (`journal.admission`), not when it is read: msgspec ignores them. So
events of an older program beyond these bounds can still be read, and the published schemas do not change.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import attrs

from clawvm_es import limits


@attrs.frozen
class Within:
    """The least and the greatest value of an integer field."""

    least: int
    most: int


Tokens: TypeAlias = Annotated[int, Within(0, limits.TOKENS_MAX)]
"""A number of tokens: small enough that no sum of a session's leaves what event data may hold."""
Count: TypeAlias = Annotated[int, Within(0, limits.INTEGER_MAX)]
"""A number of things, bytes, or a version of which there may be none yet."""
Ordinal: TypeAlias = Annotated[int, Within(1, limits.INTEGER_MAX)]
"""A number that counts from 1."""
Weight: TypeAlias = Annotated[int, Within(-limits.WEIGHT_MAX, limits.WEIGHT_MAX)]
"""A parameter of a policy, in permille."""
Price: TypeAlias = Annotated[int, Within(0, limits.PRICE_MAX)]
"""A price, in permille of the price of an input token."""
Rent: TypeAlias = Annotated[int, Within(0, limits.RENT_MAX)]
"""A multiple of a cost, in permille."""
Permille: TypeAlias = Annotated[int, Within(0, limits.PERMILLE_MAX)]
"""A share of a budget, in permille."""
