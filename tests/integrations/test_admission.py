"""A-MAC's admission: factors against values worked out by hand, and what a refusal leaves in the journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clawvm_es import FieldSchema, Journal, Settings
from clawvm_es.engine.store import Asked
from clawvm_es.integrations.admission import HALF_LIFE_S, WEIGHTS, Amac, rouge_l, type_prior, utility
from clawvm_es.integrations.mcp import Tools


@pytest.mark.parametrize(
    ("one", "other", "permille"),
    [
        ("the cat sat", "the cat sat", 1000),
        ("the cat sat", "The dog sat down", 571),  # the sat: 2 of 3 and 4 words: 2·2 ÷ 7
        ("police killed the gunman", "police kill the gunman", 750),  # 2·3 ÷ 8
        ("a b", "c d", 0),
        ("", "a", 0),
    ],
)
def test_rouge_l(one: str, other: str, permille: int) -> None:
    """F1 of the longest common subsequence of words, by hand."""
    assert rouge_l(one, other) == rouge_l(other, one) == permille


def test_factors_and_scores_by_hand() -> None:
    """One fact that is admitted and one that is refused, each factor and the sum worked out on paper."""
    good = Asked(
        "memory.port",
        "the port is 5433",
        evidence="nothing here\nthe port is 5433 now",
        age_s=HALF_LIFE_S,
        committed={"memory.host": "the host is db1", "memory.port": "the port is 1"},
    )
    # confidence: 4 common of 4 and 5 words = 8000 ÷ 9; novelty: "the is" common of 4 and 4 = 500; one half-life = 500
    expected = {"utility": 800, "confidence": 888, "novelty": 500, "recency": 500, "type_prior": 800}
    assert Amac().factors(good) == expected
    judged = Amac().judge(good)  # 80 + 88.8 + 50 + 50 + 480 = 748.8
    assert judged.agrees and judged.factors == {"score": 748, **expected}
    bad = Asked("memory.x", "thanks a lot", evidence="thanks a lot", age_s=0)
    # 500 · .1 + 1000 · .1 + 1000 · .1 + 1000 · .1 + 100 · .6 = 410
    refused = Amac().judge(bad)
    assert not refused.agrees and refused.factors["score"] == 410
    assert refused.said.startswith("score 410 of 550: utility 500, confidence 1000, novelty 1000, recency 1000")
    assert sum(WEIGHTS.values()) == 1000


def test_recency_is_a_half_life() -> None:
    """A hundredth is lost in about an hour, half in 69.3 hours, three quarters in twice that."""
    ages = {0: 1000, 3600: 990, HALF_LIFE_S: 500, 2 * HALF_LIFE_S: 250, 100 * HALF_LIFE_S: 0}
    assert {age: Amac().factors(Asked("memory.a", "b c", age_s=age))["recency"] for age in ages} == ages


@pytest.mark.parametrize(
    ("text", "prior", "use"),
    [
        *(("she prefers tea", 900, 800), ("he works at X", 800, 500), ("we decided on Rust", 700, 800)),
        *(("where is it?", 100, 500), ("hello", 100, 200), ("blue sky over us", 400, 500)),
    ],
)
def test_default_rules(text: str, prior: int, use: int) -> None:
    """Preferences last longer than facts, those longer than decisions, and talk does not last."""
    assert (type_prior(Asked("memory.a", text)), utility(Asked("memory.a", text))) == (prior, use)


def test_what_is_not_judged() -> None:
    """Other fields, pages that are written back, and deletions are agreed to; callables take the place of rules."""
    assert Amac().judge(Asked("plan", "thanks")).agrees
    assert Amac().judge(Asked("memory.a", None)).agrees
    assert Amac(utility=lambda asked: 5000, type_prior=lambda asked: 1000).judge(Asked("memory.a", "thanks")).agrees


def test_a_refusal_and_an_admission_in_the_journal(tmp_path: Path, run_verb: Callable[..., str]) -> None:
    """Refused as POLICY_VIOLATION with the score; every factor is a fact that blame shows; decided again the same."""
    settings = Settings(fields={"memory.*": FieldSchema()}, validators={"amac": Amac()})
    with Journal.open(tmp_path / "j.db") as journal, journal.session("s", settings=settings) as session:
        page = session.user_says("the port is 5433")
        said = session.stage("memory.thanks", "set_with_version", "thanks", evidence=page, base_version=0)
        assert said.reason == "POLICY_VIOLATION"
        assert said.objections[0].error is not None and said.objections[0].error.startswith("score ")
        taken = session.stage("memory.port", "set_with_version", "the port is 5433", evidence=page, base_version=0)
        assert taken.reason is None
        session.save()
        assert session.store() == {"memory.port": "the port is 5433"}
    told = run_verb("blame", str(tmp_path / "j.db"), "memory.port")
    assert "amac agrees, amac.score=860, amac.utility=800, amac.confidence=1000" in told
    assert "amac refuses" in run_verb("blame", str(tmp_path / "j.db"), "memory.thanks", "--rejected")
    run_verb("verify", str(tmp_path / "j.db"), "--redecide")


def test_the_server_asks_it(tmp_path: Path) -> None:
    """With A-MAC a tool refuses what is not worth to be remembered, in one line with the score."""
    tools = Tools(str(tmp_path / "j.db"), str(tmp_path), validators={"amac": Amac()})
    with pytest.raises(Exception, match=r"POLICY_VIOLATION \(amac: score 2\d\d of 550"):
        tools.memory_add("x", "ok", "just so")
    assert tools.memory_add("tea", "she always prefers tea", "she said: she always prefers tea") == "tea: remembered"
    assert tools.memory_delete("tea", "she changed her mind") == "tea: forgotten"
