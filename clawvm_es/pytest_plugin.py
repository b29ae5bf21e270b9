"""The pytest plugin: recorded sessions as tests.

- Files named `*.clawvm.jsonl` (recordings) and `*.clawvm.bundle`, and files that match the ini option
  `clawvm_files`, are collected: one test per session, which passes if today's code takes every decision as
  recorded.
- `@pytest.mark.clawvm("path")` with the fixture `clawvm_session` gives one recorded session to a test.
- The fixture `clawvm_check` tests claims about a session: `clawvm_check("j.db", "never absent(constraint)")`.
- `--clawvm-update` accepts today's decisions: recordings that differ are rewritten, whole or not at all. Bundles are
  evidence and are never rewritten.

pytest loads this module in every run, so it imports nothing of the package until there is a recorded session.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from clawvm_es.history.recording import RecordedSession

SUFFIXES: Final = (".clawvm.jsonl", ".clawvm.bundle")
"""As in `history.recorded_files`, which must not be imported for nothing; a test says that they are the same."""
UPDATED: Final = "clawvm_updated"
"""The property of a test report that says what was accepted."""
_SAFE: Final = " !#$&'()*+,-./;<=>?@^_`{|}~"
"""Characters that a test's id keeps, beside letters and digits; `::` and `[` separate the parts of ids."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--clawvm-update` and `clawvm_files`."""
    group = parser.getgroup("clawvm", "recorded sessions (clawvm_es)")
    group.addoption(
        "--clawvm-update",
        action="store_true",
        help="Accept today's decisions: rewrite recordings that differ (never bundles).",
    )
    parser.addini(
        "clawvm_files",
        type="args",
        default=[],
        help="More files to collect as recorded sessions: globs, against the path below rootdir.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", "clawvm(path, session=None): the recorded session that the fixture clawvm_session brings"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect files of recorded sessions."""
    wanted = file_path.name.endswith(SUFFIXES)
    if not wanted and (globs := parent.config.getini("clawvm_files")):
        root = parent.config.rootpath
        below = file_path.relative_to(root).as_posix() if file_path.is_relative_to(root) else str(file_path)
        wanted = any(fnmatch(below, glob) or fnmatch(file_path.name, glob) for glob in globs)
    return RecordedFile.from_parent(parent, path=file_path) if wanted else None


class RecordedFile(pytest.File):
    """A file of recorded sessions."""

    def collect(self) -> Iterable[pytest.Item]:
        """One test per session; only the ids of sessions are read now."""
        from clawvm_es.errors import ClawVMError
        from clawvm_es.history.recorded_files import session_ids

        try:
            ids = session_ids(self.path)
        except ClawVMError as error:
            raise self.CollectError(_shown(str(error))) from None
        for session_id in ids:
            yield RecordedTest.from_parent(self, name=quote(session_id, safe=_SAFE), session_id=session_id)


class RecordedTest(pytest.Item):
    """One recorded session, compared with today's code."""

    def __init__(self, *, session_id: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.session_id = session_id

    def runtest(self) -> None:
        """Decide the session again."""
        from clawvm_es.testing.redeciding import explained, first_difference

        session = _read(self.path, self.session_id)
        if self.config.getoption("clawvm_update"):
            session = _updated(self, session)
        problem = first_difference(session)
        if problem is not None:
            told = [explained(session, problem), "", *_ways_out(self, session)]
            pytest.fail(_shown("\n".join(told)), pytrace=False)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Place and name of the item."""
        return self.path, None, _shown(f"recorded session {self.session_id}")


@pytest.fixture
def clawvm_session(request: pytest.FixtureRequest) -> RecordedSession:
    """The recorded session that `@pytest.mark.clawvm(path, session=None)` names.

    The path is relative to the test's file, else to rootdir; `session` chooses one where a bundle holds several.
    """
    marker = request.node.get_closest_marker("clawvm")
    if marker is None or len(marker.args) != 1 or marker.kwargs.keys() - {"session"}:
        pytest.fail(
            'clawvm_session needs @pytest.mark.clawvm("path"), session="id" if there are several', pytrace=False
        )
    named = Path(marker.args[0])
    beside = request.path.parent / named
    session = _read(beside if beside.exists() else request.config.rootpath / named, marker.kwargs.get("session"))
    return _updated(request.node, session) if request.config.getoption("clawvm_update") else session


@pytest.fixture
def clawvm_check(request: pytest.FixtureRequest) -> Callable[..., None]:
    """A function that fails unless every claim about a session holds, as `clawvm check` does.

    `place` is a journal, a recording or a bundle, relative to the test's file, else to rootdir; or a session from
    `clawvm_session`. With `policy` or `budget` the session's inputs are decided under them.
    """

    def check(
        place: str | Path | RecordedSession,
        *claims: str,
        session: str | None = None,
        policy: str | None = None,
        budget: int | None = None,
    ) -> None:
        __tracebackhide__ = True
        from clawvm_es.errors import ClawVMError
        from clawvm_es.testing.claims import broken

        if isinstance(place, str | Path):
            beside = request.path.parent / place
            place = beside if beside.exists() else request.config.rootpath / place
        try:
            told = broken(place, claims, session=session, policy=policy, budget_tokens=budget)
        except ClawVMError as error:
            pytest.fail(_shown(str(error)), pytrace=False)
        if told:
            pytest.fail(_shown("\n".join(told)), pytrace=False)

    return check


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the nearest recorded call, field by field, if a fork made a call that is not on its tape."""
    report = yield
    errors = sys.modules.get("clawvm_es.errors")
    if errors is not None and call.excinfo is not None and isinstance(call.excinfo.value, errors.NewToolCall):
        report.sections += _nearest_call(call.excinfo.value)
    return report


def _nearest_call(error: Any) -> list[tuple[str, str]]:
    """The nearest recorded call and every field that differs, as a section of a report; none where there is none."""
    from clawvm_es.engine.nearest import told

    if error.nearest is None or not error.difference:
        return []
    near = error.nearest
    lines = [
        f"{near.tool} in {near.stream}, version {near.version}",
        *(f"  {told(each)}" for each in error.difference),
    ]
    return [("nearest recorded call", "\n".join(lines))]


def _read(path: Path, session_id: str | None) -> RecordedSession:
    """One session of a file; a file that is damaged, or has no such session, fails the test in one line."""
    from clawvm_es.errors import ClawVMError
    from clawvm_es.history.recorded_files import read_sessions

    try:
        found = read_sessions(path)
    except ClawVMError as error:
        pytest.fail(_shown(str(error)), pytrace=False)
    chosen = [session for session in found if session_id in (None, session.session_id)]
    if len(chosen) != 1:
        held = ", ".join(session.session_id for session in found)
        pytest.fail(_shown(f"{path} holds {held}: name one of them with session="), pytrace=False)
    return chosen[0]


def _updated(item: pytest.Item, session: RecordedSession) -> RecordedSession:
    """The session with today's decisions accepted: in its file too, where they are other ones."""
    from clawvm_es.errors import ClawVMError
    from clawvm_es.history.accept import accept
    from clawvm_es.testing.redeciding import first_difference, rewrite

    problem = first_difference(session)
    if problem is None or session.evidence:
        return session
    try:
        accepted = accept(session.rows)
        now = rewrite(session, accepted)
    except ClawVMError as error:
        pytest.fail(_shown(str(error)), pytrace=False)
    except OSError as error:
        pytest.fail(_shown(f"{session.source}: cannot be rewritten: {error.strerror}"), pytrace=False)
    place = _relative(item.config, session.source)
    item.user_properties.append((UPDATED, f"{place}: {accepted.changed} decisions are others now; first {problem}"))
    return now


def _ways_out(item: RecordedTest, session: RecordedSession) -> list[str]:
    if session.evidence:
        return ["A bundle is evidence and is never rewritten; to guard the session, export a recording of it."]
    path = _relative(item.config, session.source)
    return [f"If today's decisions are the right ones: pytest {path} --clawvm-update"]


def _relative(config: pytest.Config, path: str) -> str:
    """A path as the person who started pytest would write it."""
    start = config.invocation_params.dir
    return Path(path).relative_to(start).as_posix() if Path(path).is_relative_to(start) else path


def _shown(text: str) -> str:
    """A text for a terminal: what a recording holds is escaped in it (LAW-SHOWN-1)."""
    from clawvm_es.representations.visible import visible_lines

    return "\n".join(visible_lines(text))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which recordings were rewritten, and what changed in them."""
    lines = list(dict.fromkeys(_updates(terminalreporter.stats.values())))
    if lines:
        terminalreporter.section("recorded sessions: accepted today's decisions")
        for line in lines:
            terminalreporter.write_line(_shown(line))


def _updates(reports: Iterable[list[Any]]) -> Iterator[str]:
    for report in (report for group in reports for report in group):
        if getattr(report, "when", None) in ("setup", "call", "teardown"):
            yield from (text for name, text in report.user_properties if name == UPDATED)
