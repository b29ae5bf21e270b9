"""Codex itself through the proxy, against a fake API: its items are recorded, and paged where no room is left."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest

from clawvm_es.integrations.proxy.histories import Options
from clawvm_es.model import events as e
from clawvm_es.model.facts import Finish
from tests.integrations.fake_api import FakeApi
from tests.integrations.fake_openai import OPENAI, calls, says
from tests.integrations.programs import Codex, clawvm, codex
from tests.integrations.proxies import proxied

pytestmark = pytest.mark.sweep(of="codex", sample=1)

FILES = 10


@attrs.frozen
class Place:
    """The address that Codex is given."""

    url: str


def taken_out(request: dict[str, Any]) -> list[str]:
    """The ids of calls whose results a stub stands for in a request."""
    outputs = [item for item in request["input"] if item.get("type") == "function_call_output"]
    return [item["call_id"] for item in outputs if "clawvm took this result out" in json.dumps(item["output"])]


def test_codex_through_the_proxy(tmp_path: Path) -> None:
    """A run with more results than fit goes on to its end; calls, results and usage are in one session, each once."""
    harness = Codex.at(codex(), tmp_path)
    for number in range(FILES):
        lines = (f"file {number}, line {line}: the port is {line * 7}\n" for line in range(150))
        (harness.work / f"{number}.txt").write_text("".join(lines))
    reads = [[calls("exec_command", cmd=f"cat {number}.txt")] for number in range(FILES)]
    rest = iter([*reads, [says("I read all.")]])
    journal = tmp_path / "j.db"
    with FakeApi(OPENAI, lambda request: next(rest, None) or [says("All right.")]).running() as api:
        options = Options(budget=24_000, keep=2)
        with proxied(journal, api.url.removesuffix("/v1"), options) as running:
            last = harness.run(Place(running.url + "/v1"), "read all")
            (inputs,) = running.recorded().values()
            assert running.told == []
    assert last["type"] == "turn.completed"
    assert taken_out(api.requests[-1]) and not taken_out(api.requests[0])
    called = Counter(data.call for data in inputs if isinstance(data, e.ToolCalled))
    returned = Counter(data.call for data in inputs if isinstance(data, e.ToolReturned))
    assert called == returned == Counter(range(1, FILES + 1))
    answers = [data for data in inputs if isinstance(data, e.ModelResponded)]
    assert [answer.finish for answer in answers] == [Finish.TOOL_CALLS] * FILES + [Finish.STOP]
    assert all(answer.input_tokens for answer in answers)
    assert "decisions taken again the same" in clawvm("verify", str(journal), "--redecide", home=harness.home)
