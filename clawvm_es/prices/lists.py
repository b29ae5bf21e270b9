"""Price lists: read from JSON, looked up by name, and put into a policy's profile.

Each file holds one provider's prices: source, date, a note, `lists`, and model `families`. A list selects the
family's price for cache writes, and gives the lifetime of the cache in seconds. Prices are US dollars per million
tokens, as text. A family names models by prefix; `=` at the end asks for the whole name. The longest match counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import attrs
import msgspec

from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.limits import PRICE_MAX
from clawvm_es.model.profile import Profile

PROVIDERS: Final = ("anthropic", "openai", "gemini")
"""The files that ship, in the order in which their lists are named."""
NAMES: Final = ("anthropic-5m", "anthropic-1h", "openai", "gemini")
"""The lists that ship."""
_HOSTED: Final = re.compile(r"^(?:[a-z]{2,6}\.)?anthropic\.")
"""Beginning of a model's name where a cloud sells it."""


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of some models, in US dollars per million tokens; None: not published."""

    name: str
    models: tuple[str, ...]
    input: Decimal
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_5m: Decimal | None = None
    cache_write_1h: Decimal | None = None
    note: str = ""

    def fits(self, model: str) -> int:
        """Length of the longest of its patterns that matches a model's name; 0 if none does."""
        return max((len(each) for each in self.models if _fits(each, model)), default=0)


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One list of a file, as it stands there."""

    name: str
    write: str
    ttl_s: int
    reference: str
    says: str = ""
    ttl_known: bool = True


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of prices, as it stands there."""

    provider: str
    source: str
    date: str
    unit: str
    lists: tuple[_Row, ...]
    families: tuple[Family, ...]
    note: str = ""


@attrs.frozen
class PriceList:
    """One way to pay one provider: the source and date of its prices, and the cost of its cache.

    `read_price` and `write_price` are those of its `reference` model, in permille of the price of an input token;
    `ttl_s` is the number of seconds for which a prefix is kept after its last read. With `ttl_known` False the
    provider does not publish it, and the number is our interpretation.
    """

    name: str
    provider: str
    source: str
    date: str
    says: str
    note: str
    reference: str
    read_price: int
    write_price: int
    ttl_s: int
    ttl_known: bool
    write: str
    families: tuple[Family, ...] = attrs.field(repr=False)

    def family(self, model: str) -> Family | None:
        """The family of a model; None if the list does not know it."""
        name = bare(model)
        best = max(self.families, key=lambda family: family.fits(name), default=None)
        return best if best is not None and best.fits(name) else None

    def written(self, family: Family) -> Decimal | None:
        """The price of a token that is written to the cache; None: not published."""
        found: Decimal | None = getattr(family, self.write)
        return found

    def of(self, model: str) -> PriceList:
        """The list with the relative prices of one model in place of its reference's.

        Raises `UsageError` for a model whose prices it does not know.
        """
        family = self.family(model)
        if family is None:
            known = ", ".join(each.name for each in self.families)
            raise UsageError(f"prices {self.name} do not know the model {model!r}", hint=f"they know {known}")
        read, write = relative(family, self.write)
        return attrs.evolve(self, reference=model, read_price=read, write_price=write)


def bare(model: str) -> str:
    """A model's name without a reseller's prefix: `us.anthropic.`, `openai/`."""
    return _HOSTED.sub("", model.strip().lower().rpartition("/")[2])


def _fits(pattern: str, model: str) -> bool:
    return model == pattern[:-1] if pattern.endswith("=") else model.startswith(pattern)


def relative(family: Family, write: str) -> tuple[int, int]:
    """Prices of reading from and writing to the cache, in permille of the price of an input token.

    An unpublished price counts as that of an input token, so that no saving is claimed.
    """
    read, written = family.cache_read, getattr(family, write)
    return _permille(read, family.input), _permille(written, family.input)


def _permille(price: Decimal | None, base: Decimal) -> int:
    return 1000 if price is None or not base else min(int(price * 1000 / base), PRICE_MAX)


def named(name: str | Path) -> PriceList:
    """The list of that name, or the first list of your own JSON file.

    Raises `UsageError` for an unknown name, `UnreadableInput` for a file without prices.
    """
    found = _shipped().get(str(name))
    if found is not None:
        return found
    path = Path(name)
    if path.suffix != ".json":
        raise UsageError(
            f"there are no prices {str(name)!r}", hint=f"one of {', '.join(NAMES)}, or a JSON file of the same form"
        )
    try:
        return next(_lists(path.read_bytes(), str(path)))
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}", hint="name a JSON file of prices") from error


def applied(profile: Profile, prices: str | Path, model: str | None = None) -> Profile:
    """A profile with the prices and the cache lifetime of a list (for its reference model, or for `model`).

    Raises as `named` and `PriceList.of` do.
    """
    found = named(prices)
    if model is not None:
        found = found.of(model)
    return attrs.evolve(profile, read_price=found.read_price, write_price=found.write_price, ttl_s=found.ttl_s)


def of_model(model: str, prefer: Sequence[str] = NAMES) -> tuple[PriceList, Family] | None:
    """The first of some lists that knows a model, with the model's family; None if none does."""
    for name in prefer:
        found = named(name)
        family = found.family(model)
        if family is not None:
            return found, family
    return None


@cache
def _shipped() -> Mapping[str, PriceList]:
    folder = files("clawvm_es.prices")
    return {
        found.name: found
        for provider in PROVIDERS
        for found in _lists(folder.joinpath(f"{provider}.json").read_bytes(), f"{provider}.json")
    }


def _lists(data: bytes, where: str) -> Iterator[PriceList]:
    """The lists of a file; raises `UnreadableInput` for one that holds something else."""
    try:
        file = msgspec.json.decode(data, type=_File)
    except msgspec.MsgspecError as error:
        raise UnreadableInput(
            f"{where}: holds no prices: {error}", hint="copy the form of a list that ships"
        ) from error
    if not file.lists:
        raise UnreadableInput(f"{where}: names no list", hint="copy the form of a list that ships")
    for row in file.lists:
        family = max(file.families, key=lambda family: family.fits(row.reference), default=None)
        if row.write not in _WRITES or family is None or not family.fits(row.reference):
            what = f"write {row.write!r} or reference {row.reference!r}"
            raise UnreadableInput(
                f"{where}: list {row.name}: {what} is not in its families",
                hint=f"write is one of {', '.join(_WRITES)}",
            )
        read, write = relative(family, row.write)
        yield PriceList(
            name=row.name,
            provider=file.provider,
            source=file.source,
            date=file.date,
            says=row.says,
            note=file.note,
            reference=row.reference,
            read_price=read,
            write_price=write,
            ttl_s=row.ttl_s,
            ttl_known=row.ttl_known,
            write=row.write,
            families=file.families,
        )


_WRITES: Final = ("cache_write", "cache_write_5m", "cache_write_1h")
