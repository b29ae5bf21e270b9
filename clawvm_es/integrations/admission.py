"""Admission to memory after A-MAC (Zhang et al., arXiv:2603.04549): five factors, one weighted sum, one threshold.

| factor | weight | is, in permille |
|---|---|---|
| utility | 100 | the value of a callable; by default, rules about the words of a fact |
| confidence | 100 | ROUGE-L against the nearest line of the evidence |
| novelty | 100 | 1000 − ROUGE-L against the nearest committed value |
| recency | 100 | 1000 · 2^(−age ÷ half-life) of the evidence |
| type prior | 600 | how well a kind of fact lasts, by its words |

Score = Σ weight · factor // 1000; admitted from 550. Weights, threshold and decay (0.01 an hour: a half-life of
69.3 hours) are the paper's. The paper compares embeddings for novelty and asks a model for utility; here both are
computed from words, offline and the same on every machine. ROUGE-L is the F1 of the longest common subsequence of
words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

import attrs
from rapidfuzz.distance import LCSseq

from clawvm_es.engine.store import Asked, Judged

WEIGHTS: Final[Mapping[str, int]] = MappingProxyType(
    {"utility": 100, "confidence": 100, "novelty": 100, "recency": 100, "type_prior": 600}
)
THRESHOLD: Final = 550
HALF_LIFE_S: Final = 249_533
"""ln 2 ÷ 0.01 hours."""
_WORD = re.compile(r"\w+")
_LASTING: Final = (
    (re.compile(r"\b(?:prefer\w*|favou?rite|likes?|loves?|hates?|always|never|must)\b", re.I), 900),
    (re.compile(r"\b(?:is|are|was|am|works?|lives?|named?|called|uses?|has|have|port|path|version)\b", re.I), 800),
    (re.compile(r"\b(?:decided?|decision|plans?|will|deadline|due|agreed)\b", re.I), 700),
    (re.compile(r"^\W*(?:hello|hi|hey|thanks?|thank you|ok|okay|yes|no|bye)\b|\?\s*$", re.I), 100),
)
"""Words → the prior of their kind: preferences, facts, decisions, talk; the first that fits."""
_OTHER: Final = 400
_USEFUL = re.compile(r"\d|\b(?:always|never|must|prefer\w*|deadline|decided?)\b", re.I)


def rouge_l(one: str, other: str) -> int:
    """ROUGE-L of two texts in permille: F1 of the longest common subsequence of their words, whatever their case."""
    ours, theirs = _WORD.findall(one.lower()), _WORD.findall(other.lower())
    if not ours or not theirs:
        return 0
    return 2000 * int(LCSseq.similarity(ours, theirs)) // (len(ours) + len(theirs))


def type_prior(asked: Asked) -> int:
    """Durability of a kind of fact, by its words, in permille."""
    text = text_of(asked.value)
    talk = _LASTING[-1]
    return next((prior for words, prior in (talk, *_LASTING[:-1]) if words.search(text)), _OTHER)


def utility(asked: Asked) -> int:
    """Use of a fact for later turns, by rules: 800 with a number or a rule in it, else 500; 200 for one word."""
    text = text_of(asked.value)
    if len(_WORD.findall(text)) < 2:
        return 200
    return 800 if _USEFUL.search(text) else 500


def text_of(value: Any) -> str:
    """A value as the text that is compared."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


@attrs.frozen
class Amac:
    """The validator. It judges fields that match `fields`, and accepts all others, and deletions.

    `utility` and `type_prior` return permille for an update, as the module's functions do.
    """

    utility: Callable[[Asked], int] = utility
    type_prior: Callable[[Asked], int] = type_prior
    weights: Mapping[str, int] = WEIGHTS
    threshold: int = THRESHOLD
    half_life_s: int = HALF_LIFE_S
    fields: str = "memory.*"

    def judge(self, asked: Asked) -> Judged:
        """Score an update; refuse it below the threshold, with the score and its factors."""
        if asked.value is None or not fnmatchcase(asked.field, self.fields):
            return Judged(True)
        factors = {name: min(1000, max(0, value)) for name, value in self.factors(asked).items()}
        score = sum(self.weights[name] * value for name, value in factors.items()) // 1000
        told = ", ".join(f"{name} {value}" for name, value in factors.items())
        return Judged(
            score >= self.threshold, {"score": score, **factors}, f"score {score} of {self.threshold}: {told}"
        )

    def factors(self, asked: Asked) -> dict[str, int]:
        """The five factors, in permille."""
        text = text_of(asked.value)
        known = [text_of(value) for name, value in asked.committed.items() if name != asked.field]
        return {
            "utility": self.utility(asked),
            "confidence": max((rouge_l(text, line) for line in asked.evidence.splitlines()), default=0),
            "novelty": 1000 - max((rouge_l(text, each) for each in known), default=0),
            "recency": round(1000 * 0.5 ** (asked.age_s / self.half_life_s)),
            "type_prior": self.type_prior(asked),
        }
