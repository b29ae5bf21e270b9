"""Price lists of providers as data, and the cost of prompts by them.

The JSON files beside this module hold published prices with their source and date; `lists` reads them, `cost` prices
tokens. A price that is not known is None, never a guess.

>>> from clawvm_es import prices
>>> prices.named("anthropic-5m").write_price
1250
>>> prices.dollars(prices.Used(input_tokens=1_000_000), "claude-opus-5", "anthropic-5m")
Decimal('5.00')
"""

from clawvm_es.prices.cost import Spent, Used, dollars
from clawvm_es.prices.lists import NAMES, Family, PriceList, applied, named, of_model

__all__ = ["NAMES", "Family", "PriceList", "Spent", "Used", "applied", "dollars", "named", "of_model"]
