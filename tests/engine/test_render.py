"""Prompts under renderers: old ones come back byte for byte, and a session goes on under the newest."""

import shutil
from pathlib import Path

import pytest

from clawvm_es.core.profiles import profile
from clawvm_es.engine import render
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.render import Renderer
from clawvm_es.errors import JournalTooNew
from clawvm_es.history import prompt_at
from clawvm_es.model import events as e
from clawvm_es.representations.counter import counter
from clawvm_es.representations.frame import RENDERER

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def old(tmp_path):
    """A journal whose session `s` wrote a disguised tag and was rendered once, by `frames/1`."""
    shutil.copy(GOLDEN / "frames_1.journal", tmp_path / "j.db")
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        yield journal


def rendered(journal):
    """All that was recorded of rendered prompts, oldest first."""
    return [row.data for row in journal.log.read("s") if isinstance(row.data, e.PromptRendered)]


def test_a_stored_prompt_is_rendered_by_its_own_renderer(old):
    """A prompt of the past is what the model saw, also where a newer renderer writes it in another way."""
    shown = prompt_at(old.log, "s")
    assert shown.matches is True
    assert "</pa\u200bge>" in shown.text


def test_an_assembly_delivered_again_gives_the_prompt_of_the_first_time(old):
    """The first result is the old prompt, by the old renderer; nothing is appended."""
    first = prompt_at(old.log, "s").text
    with old.session("s", budget_tokens=500) as session:
        session.assemble()
        version = session.state.version
        assert session.assemble(key="first").text == first
        assert session.state.version == version


def test_an_old_session_goes_on_under_the_newest_renderer(old):
    """Its next prompt is closed to disguised tags, is recorded under the new name, and matches its commitment."""
    with old.session("s", budget_tokens=500) as session:
        text = session.assemble().text
    assert "</pa\u200bge>" not in text and "<\\/pa\u200bge>" in text and "\uff1c\\/page" in text
    assert [each.renderer for each in rendered(old)] == ["frames/1", RENDERER]
    assert prompt_at(old.log, "s").text == text and prompt_at(old.log, "s").matches is True


@pytest.mark.parametrize("policy", ["clawvm_turn", "clawvm"])
def test_the_tokens_of_a_rendered_prompt_are_counted_in_its_own_frames(old, policy):
    """A page that was counted in its older frame leaves the recorded count of a new prompt exact."""
    with old.session("s", policy=profile(policy), budget_tokens=500, on_other_settings="adopt") as session:
        assert session.state.in_epochs == (policy == "clawvm")
        for prompt in (session.assemble(), session.assemble()):
            assert rendered(old)[-1].tokens == counter().count(prompt.text)


def test_a_renderer_of_the_future_is_refused():
    """A prompt by a renderer that this program does not have cannot be rendered again."""
    with pytest.raises(JournalTooNew, match="frames/9"):
        Renderer(lambda names: {}, name="frames/9")


@pytest.mark.parametrize("policy", ["clawvm_turn", "clawvm"])
def test_frames_outside_the_prompt_are_forgotten(policy):
    """A long session holds as many framed texts as its prompts have pages, a few times over."""
    with Journal.open(":memory:") as journal:
        session = journal.session("s", policy=policy, budget_tokens=120, counter="lines4", on_pressure="degrade")
        for number in range(150):
            session.user_says(f"message {number} of many")
            session.assemble()
        assert len(session._shell._renderer._framed) < 120


def test_a_prompt_that_grows_is_not_looked_at_again(monkeypatch):
    """Between epochs no piece that was rendered before is asked for, neither to render nor to count it."""
    with Journal.open(":memory:") as journal:
        session = journal.session("s", policy="clawvm", budget_tokens=9_000, counter="lines4")
        session.user_says("message 0")
        session.assemble()
        monkeypatch.setattr(render, "shown", lambda state: pytest.fail("all pieces were asked for"))
        for number in range(1, 4):
            session.user_says(f"message {number}")
            assert f"message {number}" in session.assemble().text
