"""What each builder keeps, on small samples of what agents see."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.representations.builders import classify
from clawvm_es.representations.builders.code import LANGUAGES, _definitions
from clawvm_es.representations.builders.extract import pointer_line
from clawvm_es.representations.builders.json_text import parsed
from clawvm_es.representations.counter import counter
from clawvm_es.representations.frame import Frame
from clawvm_es.representations.ladder import build_levels

C, S, P = Fidelity.COMPRESSED, Fidelity.STRUCTURED, Fidelity.POINTER


def built(text: str, source: str, page_type: PageType = PageType.EVIDENCE) -> dict[Fidelity, str]:
    """Level → text, as kept in the ladder."""
    ladder = build_levels(page_type, text, Frame("p1", page_type, Author.TOOL, source), counter())
    return {b.level: b.text for b in ladder}


def builder(text: str, source: str = "", page_type: PageType = PageType.EVIDENCE) -> str:
    """Name of the builder chosen."""
    return classify(page_type, text, source).name


PASSED = "".join(
    f"tests/unit/test_module_{i % 40}.py::test_case_{i} PASSED      [{i // 4:>3}%]\n" for i in range(380)
)
FAILURES = [
    "tests/unit/test_parser.py::test_empty_input FAILED          [ 31%]",
    "tests/unit/test_store.py::test_rollback[sqlite] FAILED      [ 62%]",
    "    def test_empty_input():",
    ">       assert parse('') == []",
    "E       AssertionError: assert None == []",
    "E        +  where None = parse('')",
    "E           sqlite3.OperationalError: database is locked",
    "src/store.py:118: OperationalError",
    "FAILED tests/unit/test_parser.py::test_empty_input - AssertionError: assert None == []",
    "FAILED tests/unit/test_store.py::test_rollback[sqlite] - sqlite3.OperationalError",
    "===== 2 failed, 380 passed in 14.21s =====",
]
PYTEST_LOG = "\n".join([PASSED[: len(PASSED) // 2], *FAILURES[:2], PASSED[len(PASSED) // 2 :], *FAILURES[2:], ""])


def test_every_failing_line_of_a_test_run_survives() -> None:
    """Compressed keeps every line of the failures; structured every line that names what failed."""
    levels = built(PYTEST_LOG, "Bash: pytest -v")
    for line in FAILURES:
        assert line in levels[C].split("\n")
    for line in FAILURES:
        if "FAILED" in line or line.startswith("E ") or line.startswith("===== "):
            assert line in levels[S]
    assert builder(PYTEST_LOG) == "logs/1"


def test_repeated_lines_become_one_with_a_count() -> None:
    """A thousand lines of three kinds become three lines that say how many they stand for."""
    log = "".join(f"2026-01-01 10:00:{i % 60:02} GET /api/items/{i} 200 in {i % 13}ms\n" for i in range(1000))
    log += "2026-01-01 10:02:11 connection to 10.0.0.7 refused\n" * 3
    structured = built(log, "Bash: tail app.log")[S]
    assert "2026-01-01 10:00:00 GET /api/items/0 200 in 0ms [×1000]" in structured
    assert "connection to 10.0.0.7 refused [×3]" in structured
    assert len(structured.split("\n")) <= 12


@pytest.mark.parametrize(
    "ids",
    [
        [str(10**n) for n in range(12)],
        ["deadbeef01", "0a1b2c3", "ffffffffffffffff", "1234567"],
        ["0x7fff5fbff8c0", "0x00000000", "0xDEADBEEF"],
    ],
)
def test_lines_that_differ_in_numbers_and_ids_are_of_one_kind(ids: list[str]) -> None:
    """Numbers of any length and long hexadecimal ids make no new kind; other words do."""
    log = "".join(f"commit {ids[i % len(ids)]} at=head ref=main\n" for i in range(120)) + "one other line\n"
    structured = built(log, "Bash: git log")[S]
    assert f"commit {ids[0]} at=head ref=main [×120]" in structured
    assert "one other line" in structured


GO = """package strategy

import (
	"fmt"
	"strings"
)

const limit = 40

// Store keeps checkpoints.
type Store struct {
	path string
}

type Reader interface {
	Read(path string) ([]byte, error)
}

func NewStore(path string) *Store {
	return &Store{path: path}
}

func (s *Store) Checkpoint(
	id string,
	files []string,
) error {
	for _, file := range files {
		if strings.HasPrefix(file, ".git/") {
			continue
		}
		fmt.Println("adding", file, "to", id, "in", s.path)
	}
	return nil
}
"""
PYTHON = '''"""A module."""

import os


class Store:
    """Keeps things."""

    def __init__(self, path: str) -> None:
        self.path = path

    async def read(
        self,
        name: str,
    ) -> bytes:
        with open(os.path.join(self.path, name), "rb") as file:
            data = file.read()
        return data


@cache
def main(argv: list[str]) -> int:
    store = Store(argv[0])
    for name in argv[1:]:
        print(name, len(store.path), "bytes of path and more words to make this long")
    return 0
'''
TYPESCRIPT = """import { Page } from './page';

export interface Options { budget: number; policy: string }

export class Engine extends Base {
  private pages: Page[] = [];

  constructor(private readonly options: Options) {
    super();
    this.pages = [];
    console.log('engine made with budget', options.budget, 'and policy', options.policy);
  }

  assemble(turn: number): string {
    return this.pages.map((page) => page.render(turn)).filter((text) => text.length > 0).join('');
  }
}

export function open(path: string): Engine {
  return new Engine({ budget: 16000, policy: path.length > 10 ? 'clawvm' : 'lru' });
}
"""
RUST = """use std::fmt;

pub struct Page { id: u64, text: String }

impl Page {
    pub fn new(id: u64, text: &str) -> Self {
        Page { id, text: text.to_string() }
    }
    fn tokens(&self) -> usize { self.text.len() / 4 }
}

pub trait Counter { fn count(&self, text: &str) -> usize; }

fn main() {
    println!("{}", Page::new(1, "a text that is long enough to be counted").tokens());
}
"""
JAVA = """package a.b;

public class Store extends Base {
    private final String path;

    public Store(String path) {
        this.path = path;
    }

    @Override
    public byte[] read(String name) throws IOException {
        return Files.readAllBytes(Paths.get(path, name, "and", "some", "more", "words", "to", "read"));
    }
}
"""
C_CODE = """#include <stdio.h>
#define LIMIT 40

struct page { int id; char text[LIMIT]; };

static int count(const char *text)
{
    int n = 0;
    while (*text++) n++;
    return n;
}

int main(int argc, char **argv)
{
    printf("%d words and some more text to print here\\n", count(argv[argc - 1]));
    return 0;
}
"""
RUBY = """module Store
  class Page
    def initialize(id, text)
      @id = id
      @text = text
    end

    def self.open(path)
      File.readlines(path).map { |line| new(line.length, line) }.reject { |page| page.nil? }
    end
  end
end
"""


def numbered(code: str) -> str:
    """The code as file viewers print it."""
    return "".join(f"{i:>6}→{line}\n" for i, line in enumerate(code.splitlines(), 1))


@pytest.mark.parametrize(
    ("extension", "code", "signatures"),
    [
        (
            "go",
            GO,
            [
                "type Store struct {",
                "func NewStore(path string) *Store {",
                "func (s *Store) Checkpoint(",
                ") error {",
            ],
        ),
        (
            "py",
            PYTHON,
            ["class Store:", "    async def read(", "    ) -> bytes:", "def main(argv: list[str]) -> int:"],
        ),
        ("ts", TYPESCRIPT, ["export class Engine extends Base {", "  assemble(turn: number): string {"]),
        ("tsx", TYPESCRIPT, ["export function open(path: string): Engine {"]),
        ("js", TYPESCRIPT.replace(": string", "").replace(": Engine", ""), ["export function open(path) {"]),
        ("rs", RUST, ["impl Page {", "    pub fn new(id: u64, text: &str) -> Self {", "fn main() {"]),
        (
            "java",
            JAVA,
            ["public class Store extends Base {", "    public byte[] read(String name) throws IOException {"],
        ),
        ("c", C_CODE, ["static int count(const char *text)", "int main(int argc, char **argv)"]),
        ("cpp", C_CODE, ["static int count(const char *text)", "int main(int argc, char **argv)"]),
        ("rb", RUBY, ["  class Page", "    def self.open(path)"]),
    ],
)
def test_outlines_keep_signatures_with_line_numbers(extension: str, code: str, signatures: list[str]) -> None:
    """Structured code is the signatures, each with its line number, whether the tool printed numbers or not."""
    lines = code.split("\n")
    filler = "\n".join(f"// filler {i}" if extension not in ("py", "rb") else f"# filler {i}" for i in range(300))
    for text in (code + filler, numbered(code + filler)):
        levels = built(text, f'Read {{"file_path": "/srv/app/store.{extension}"}}')
        assert builder(text, f"Read store.{extension}") == "code/2"
        for signature in signatures:
            assert f"{lines.index(signature) + 1}→{signature}" in levels[S]
        assert "filler 150" not in levels[S]


def test_code_that_was_parsed_does_not_stay_in_memory() -> None:
    """Outlines of many files leave nothing of their texts behind."""
    texts = [f"def f{number}(a):\n    return a\n\n" * 1_000 for number in range(20)]
    built(texts[0], "Read store.py")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for text in texts:
            assert any(found.first == 0 for found in _definitions(text.splitlines(), LANGUAGES["py"]))
        assert tracemalloc.get_traced_memory()[0] - before < len(texts[0])
    finally:
        tracemalloc.stop()


def test_compressed_code_keeps_the_outline_and_one_run_of_lines() -> None:
    """The head stands in one piece in the compressed level, for edits to quote; all signatures stand too."""
    code = GO + "".join(
        f"\nfunc Long{n}(x int) int {{\n"
        + "".join(f"\tx = step(x, {i * n})\n" for i in range(60))
        + "\treturn x\n}\n"
        for n in range(4)
    )
    for text in (code, numbered(code)):
        compressed = built(text, "cat store.go")[C]
        assert compressed.startswith(text[: len(text) // 4])
        assert all(f"func Long{n}(x int) int {{" in compressed for n in range(4))


def test_cut_off_code_has_an_outline() -> None:
    """A read that starts in the middle of one function and ends in another still shows what lies between."""
    middle = "\n".join((GO * 6).split("\n")[25:150])
    assert "func NewStore(path string) *Store {" in built(middle, "Read store.go")[S]


def test_json_keeps_keys_shapes_counts_and_lexemes() -> None:
    """A skeleton names every key, counts items, and writes scalars as the source does."""
    items = [
        {"id": i, "name": f"item {i}", "price": 1.5, "tags": ["a", "b"], "note": "long words " * 20}
        for i in range(80)
    ]
    text = json.dumps({"next_page": "token-8f3a2b", "total": 80, "items": items}).replace("1.5", "1.50e0")
    levels = built(text, "api")
    assert builder(text) == "json/2"
    for key in ("next_page", "total", "items", "id", "name", "price", "tags", "note"):
        assert f'"{key}": ' in levels[S]
    assert '"token-8f3a2b"' in levels[S]
    assert "1.50e0" in levels[S]
    assert "more]" in levels[S]
    assert '"item 7"' in levels[C]


def test_compressed_json_keeps_identifiers_and_dates_under_their_keys() -> None:
    """What calls ask for again stands in the compressed level, however deep, before words that say little."""
    user = {
        "name": {"first_name": "Mia", "last_name": "Li"},
        "address": {"street": "975 Sunset Drive", "suite": "Suite 217", "city": "Austin", "country": "USA"},
        "born": "1990-04-05",
        "payment_methods": {
            f"{kind}_{n}": {"source": kind, "brand": "a brand of cards", "id": f"{kind}_{n}", "note": "of no use"}
            for kind, n in (("credit_card", 4421486), ("certificate", 7504069))
        },
        "reservations": ["NO6JO3", "AIXC49", "HKEG34"],
        "remarks": "nothing that anyone would have to know is said in this remark, " * 4,
    }
    compressed = built(json.dumps(user), "get_user_details")[C]
    assert '"payment_methods": {"credit_card_4421486": ' in compressed
    assert '"certificate_7504069": ' in compressed
    assert '"reservations": ["NO6JO3", "AIXC49", "HKEG34"]' in compressed
    assert '"born": "1990-04-05"' in compressed
    assert "of no use" not in compressed
    assert " more" in compressed


def test_long_texts_in_json_share_what_facts_leave() -> None:
    """Output inside a document is clipped, not lost, also where much of it is escaped."""
    text = json.dumps({"output": 'said "a" and "b"\n' * 400, "exit_code": 0, "run": "run-4711"})
    compressed = built(text, "shell")[C]
    assert compressed.startswith('{"output": "said \\"a\\" and')
    assert '…" (6800 chars)' in compressed
    assert '"run": "run-4711"' in compressed
    assert len(text) // 4 < len(compressed) <= len(text) * 2 // 5


def test_json_files_keep_whole_lines() -> None:
    """A file that is JSON is edited by its lines: its head stands as it is written."""
    text = json.dumps({f"color{i}": {"name": f"shade {i}", "value": f"#00{i:04}"} for i in range(60)}, indent="\t")
    assert built(text, "read theme/dark.json")[C].startswith(text[: len(text) // 3])
    assert '\n\t"color0"' not in built(text, "curl https://example.org/colors")[C]


def test_json_lines_are_json() -> None:
    """One document a line is read as a list of documents."""
    text = "\n".join(json.dumps({"event": "page_written", "seq": i, "session": "abc"}) for i in range(100))
    assert builder(text) == "json/2"
    assert '"event": "page_written"' in built(text, "")[S]


@pytest.mark.parametrize(
    "text", ["[1] not json", "{a: 1}", "12", '"word"', "", "[1]\n[", "{}{}", "[" * 5000 + "]" * 5000]
)
def test_what_is_no_json_document(text: str) -> None:
    """Near misses are no documents."""
    assert parsed(text) is None


DIFF = "".join(
    f"""diff --git a/src/m{n}.py b/src/m{n}.py
index 1111111..2222222 100644
--- a/src/m{n}.py
+++ b/src/m{n}.py
@@ -10,30 +10,31 @@ def handler_{n}(request):
"""
    + "".join(f"     context line {i} of file {n}\n" for i in range(24))
    + f"-    return old_value_{n}\n+    value = compute_{n}()\n+    return value_{n}\n"
    for n in range(4)
)


@pytest.mark.parametrize("text", [DIFF, DIFF[: int(len(DIFF) * 0.9)]], ids=["whole", "cut off"])
def test_diffs_keep_files_hunks_counts_and_changes(text: str) -> None:
    """Structured: files with counts and hunk headers. Compressed: also what changed, before any context."""
    levels = built(text, "Bash: git diff")
    assert builder(text) == "diff/1"
    assert "diff --git a/src/m0.py b/src/m0.py [+2 -1]" in levels[S]
    assert "@@ -10,30 +10,31 @@ def handler_0(request):" in levels[S]
    for n in range(3):
        assert f"-    return old_value_{n}\n+    value = compute_{n}()\n+    return value_{n}" in levels[C]


def test_search_results_show_every_file() -> None:
    """Each file that was found keeps a match before any file keeps its second."""
    text = "".join(
        f"src/pkg{i // 30}/file{i // 10}.py:{i}:    value = lookup(name_{i}, default)\n" for i in range(300)
    )
    levels = built(text, 'Grep {"pattern": "lookup"}')
    assert builder(text, 'Grep {"glob": "*.py"}') == "listing/1"
    for n in range(30):
        assert f"/file{n}.py:{n * 10}:" in levels[C]
    assert sum(f"/file{n}.py:" in levels[S] for n in range(30)) >= 20
    assert levels[S].endswith("[… 301 lines in all]")


def test_paths_show_every_directory() -> None:
    """Each directory keeps a path before any directory keeps its second."""
    text = "".join(f"/srv/app/dir{i // 20}/file_number_{i}.txt\n" for i in range(200))
    assert builder(text) == "listing/1"
    assert all(f"/srv/app/dir{n}/" in built(text, "Glob *")[C] for n in range(10))


def test_time_stamps_are_no_search_results() -> None:
    """A log whose lines start with a date is a log."""
    assert builder("".join(f"2026-02-06 12:00:{i:02}: started job {i} of many\n" for i in range(50))) == "logs/1"


PROSE = (
    "# Session handling\n\nThe engine keeps one row per session, as explained below in some detail.\n\n"
    + "".join(
        f"## Part {n}\n\nThis part talks about `handler_{n}` in src/part{n}/main.py and nothing else. "
        + "It goes on for a while without saying much that anyone would ever need to know again. " * 6
        + "\n\n"
        for n in range(12)
    )
    + "In the end we decided to use SQLite.\n"
)


def test_prose_keeps_headings_and_facts() -> None:
    """Compressed keeps the first line, every heading, and sentences with names and paths; structured the headings."""
    levels = built(PROSE, "WebFetch https://example.org/doc")
    assert builder(PROSE) == "prose/1"
    for n in range(12):
        assert f"## Part {n}" in levels[C] and f"## Part {n}" in levels[S]
        assert f"`handler_{n}` in src/part{n}/main.py" in levels[C]
    assert "In the end we decided to use SQLite." in levels[C]


def test_conversations_are_prose() -> None:
    """A message has a compressed level and a pointer, and no structured one (see the table of page types)."""
    assert set(built(PROSE, "user", PageType.CONVERSATION)) == {Fidelity.FULL, C, P}


def test_plans_keep_goal_current_done_and_next() -> None:
    """Structured: the goal, the current step, what was done last, what is next, and how many of each."""
    steps = [f"- [{'x' if i < 15 else '>' if i == 15 else ' '}] step number {i} of the migration" for i in range(40)]
    levels = built("\n".join(["# Move to SQLite", *steps]), "", PageType.PLAN)
    assert levels[S].split("\n") == ["# Move to SQLite", *steps[13:19], "[15 done, 1 in progress, 24 next]"]
    assert all(step in levels[C] for step in steps[13:20])


RULES = "# Project\n\nSome words on what this project is and who works on it, for context.\n\n" + "".join(
    f"## Area {n}\n\nBackground on area {n} that explains how things came to be the way they are today.\n\n"
    f"- Never commit to branch release-{n} directly.\n- The file conf/{n}.toml must stay sorted.\n\n"
    for n in range(10)
)


@pytest.mark.parametrize("page_type", [PageType.BOOTSTRAP, PageType.CONSTRAINT])
def test_every_rule_survives_in_the_structured_level(page_type: PageType) -> None:
    """The rules stay one by one, in their own words; background does not."""
    structured = built(RULES, "CLAUDE.md", page_type)[S].split("\n")
    for n in range(10):
        assert f"- Never commit to branch release-{n} directly." in structured
        assert f"- The file conf/{n}.toml must stay sorted." in structured
    assert not any("Background" in line for line in structured)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("x\n" * 500, 'Bash {"command": "cd /srv/app && go test ./... -run TestThing -v 2>&1 | tail -50"}'),
        ("日本語のテキスト" * 50, "読む /データ/文書/とても長い名前のファイルです.txt"),
        (PROSE, ""),
        ("a\x00b\nc" * 100, "two\nlines\tand\x07bell"),
    ],
)
def test_pointers_are_short_single_lines(text: str, source: str) -> None:
    """A pointer is one line of about 30 tokens at most, whatever the source."""
    line = pointer_line(text, source)
    assert counter().count(line) <= 34
    assert line.isprintable()
    assert " lines" in line or " chars" in line


def test_pointers_name_their_source() -> None:
    """A short source stands whole; of a long one both ends remain."""
    assert pointer_line("a\nb\n", "Read /srv/app/store.py") == "Read /srv/app/store.py · 3 lines"
    long = pointer_line("text", "Read /" + "very/" * 40 + "deep/store.py")
    assert long.startswith("Read /very/") and "deep/store.py · 4 chars" in long


def test_lower_levels_are_extracts() -> None:
    """Apart from marks and counts, every line of a lower level is a line of the text."""
    lines = set(PYTEST_LOG.split("\n"))
    for level in (C, S):
        for line in built(PYTEST_LOG, "Bash: pytest")[level].split("\n"):
            assert line.startswith("[… ") or line.partition(" [×")[0] in lines
