"""The report tells the same in every format, the same bytes each time, and whatever a text holds."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.evaluation.cells import Chart, Section, Table
from clawvm_es.evaluation.policies import POLICIES
from clawvm_es.evaluation.report import FILES, TIMINGS, Part, Report, html, markdown, verdict, write
from clawvm_es.evaluation.report import csv as csv_report
from clawvm_es.evaluation.report import json as json_report
from clawvm_es.evaluation.report.charts import svg
from clawvm_es.evaluation.report.style import CSS
from clawvm_es.evaluation.report.text import clean
from clawvm_es.representations.visible import visible

NASTY = "<script>alert('x')</script> | *a* `b` [c](http://d) & \\ \"q\" _e_ \n#f \x1b[31m \ud800"


def table(title: str = "Ours", *rows: tuple[int | str, ...]) -> Table:
    """A table of two columns."""
    return Table(title, ("policy", "misses"), rows or (("lru", 12_345), ("clawvm", 7)), "A note with `code`.")


def section(name: str = "one", holds: bool | None = None, text: str = "Told.", **more) -> Section:
    """A section with a table, one of the paper's, and a chart."""
    chart = Chart("Misses by budget", (120, 180), {"lru": (3, 2), "clawvm": (None, 1)}, "tokens", "misses")
    tables = more.pop("tables", (table(),))
    return Section(name, f"Section {name}", {"n": 1}, tables, (text,), (table("Paper's"),), (chart,), holds)


def report(*sections: Section, timed: tuple[Section, ...] = ()) -> Report:
    """A report of these sections."""
    parts = [Part(f"Shows {its.name}.", its) for its in sections or (section(),)]
    return Report("clawvm-es 1", {"seed": 1}, (*parts, *(Part("Times.", its, timed=True) for its in timed)))


class Page(HTMLParser):
    """Checks that tags are balanced and notes names, ids, links and text."""

    VOID = ("meta", "wbr", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        """Note a tag, its id and where it leads."""
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Note a tag that holds nothing."""
        self.tags.append(tag)

    def handle_endtag(self, tag):
        """A tag ends that is open."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Note what a reader sees."""
        self.text += data


def test_all_files_are_written_whole(tmp_path):
    """The folder holds the report in four formats and nothing half written; timings only if there are any."""
    written = write(report(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written) == sorted(FILES)
    write(report(timed=(section("fast"),)), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES + TIMINGS)
    write(report(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_timings_stand_in_files_of_their_own(tmp_path):
    """LAW-REPORT-1: other timings change the files of timings and no other; the page links to them."""
    fast, slow = (section("speed", tables=(table("Speed", ("lru", n)),)) for n in (777, 888))
    first, second = tmp_path / "1", tmp_path / "2"
    for folder, its in ((first, fast), (second, slow)):
        folder.mkdir()
        write(report(section(), timed=(its,)), folder)
    for name in FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    for name in TIMINGS:
        assert (first / name).read_bytes() != (second / name).read_bytes()
        assert name in Page((first / "report.html").read_text()).links


def test_the_summary_comes_first_and_says_what_holds():
    """One table with experiment, what it shows and the verdict; a failed gate cannot be overlooked."""
    its = report(section("good", True), section("bad", False), section("plain"))
    assert [verdict(part) for part in its.parts] == ["gate holds", "GATE DOES NOT HOLD", "figures, no gate"]
    assert not its.holds
    text = markdown.render(its)
    assert text.index("## Summary") < text.index("GATE DOES NOT HOLD") < text.index("## Section good")
    assert [row["holds"] for row in its.document()["summary"]] == [True, False, None]


def test_the_summary_has_the_paper_s_figures_beside_ours():
    """They stand in a column of their own, marked as the paper's, in every format that has a summary."""
    its = Report("p", {}, (Part("Shows.", attrs.evolve(section(), paper_verdict="67.8 faults")),))
    head, _, row = markdown.render(its).split("## Summary")[1].strip().splitlines()[:3]
    assert head.endswith("| the paper, on its workloads |") and row.endswith("| 67.8 faults |")
    assert '<td class="paper">67.8 faults</td>' in html.render(its)
    assert its.document()["summary"][0]["paper"] == "67.8 faults"


def test_what_was_left_out_is_said():
    """A part that could not be made stands in the summary with its reason."""
    its = Report("p", {}, (Part("Shows.", section()),), {"real": "no folder was named"})
    for text in (markdown.render(its), Page(html.render(its)).text, json_report.render(its.document())):
        assert "no folder was named" in text


def test_json_is_canonical():
    """Keys are sorted, and the same document in another order gives the same bytes."""
    document = report().document()
    text = json_report.render(document)
    assert text == json_report.render(dict(reversed(list(document.items()))))
    assert json.loads(text) == document
    assert text.isascii()


def test_csv_has_one_line_for_each_figure():
    """Experiment, source, table, row, column, value; the paper's figures are marked as such."""
    rows = list(csv.DictReader(io.StringIO(csv_report.render(report()))))
    assert [tuple(row.values()) for row in rows[:2]] == [
        ("one", "ours", "Ours", "lru", "misses", "12345"),
        ("one", "ours", "Ours", "clawvm", "misses", "7"),
    ]
    assert {row["table"] for row in rows if row["source"] == "paper"} == {"Paper's"}


def test_rows_of_a_csv_are_named_by_what_tells_them_apart():
    """As many first columns as it takes, or the row's number if even they repeat."""
    twice = Table("t", ("a", "b", "c"), (("x", "y", 1), ("x", "z", 2)))
    same = Table("t", ("a", "b"), (("x", 1), ("x", 1)))
    told = csv_report.render(report(section(tables=(twice, same)))).splitlines()[1:7]
    assert told == [
        "one,ours,t,x / y,c,1",
        "one,ours,t,x / z,c,2",
        "one,ours,t,1,a,x",
        "one,ours,t,1,b,1",
        "one,ours,t,2,a,x",
        "one,ours,t,2,b,1",
    ]


@given(text=st.one_of(st.just(NASTY), st.text(max_size=60)))
def test_no_text_breaks_out_of_its_place(text):
    """Whatever a name or cell holds: HTML stays balanced without new tags, Markdown keeps its rows, CSV its text."""
    plain = report(section(tables=(table("T", ("cell", 1)),)))
    nasty = report(section(text=text, tables=(table(text, (text, 1)),)))
    page = Page(html.render(nasty))
    skip = ("code", "wbr")
    assert [t for t in page.tags if t not in skip] == [t for t in Page(html.render(plain)).tags if t not in skip]
    lines = markdown.render(nasty).splitlines()
    assert len(lines) == len(markdown.render(plain).splitlines())
    assert not any(line.lstrip().startswith(("<", "[")) for line in lines)
    cells = list(csv.DictReader(io.StringIO(csv_report.render(nasty), newline="")))
    assert (cells[0]["row"], cells[0]["value"]) == (clean(text), "1")
    assert json.loads(json_report.render(nasty.document()))["experiments"]["one"]["tables"][0]["title"] == text
    assert markdown.render(nasty).encode()
    assert html.render(nasty).encode()
    assert csv_report.render(nasty).encode()


def test_markdown_shows_marks_as_they_are():
    """What Markdown would read as a mark is escaped; numbers and names are left readable."""
    assert markdown.escaped("a|b *c* <d> `e` [f]") == r"a\|b \*c\* \<d\> \`e\` \[f\]"
    assert markdown.escaped("flush_miss, -12.5 + 3") == "flush_miss, -12.5 + 3"
    assert markdown.escaped("- item") == r"\- item"
    assert markdown.escaped("-12") == "-12"


def test_intervals_are_left_readable_in_markdown():
    """Their brackets make no link unless something follows that would, and a sign before a digit begins no list."""
    assert markdown.escaped("-35 [-58, -13] *") == r"-35 [-58, -13] \*"
    for after in ("(http://d)", "[x]", ": http://d"):
        assert markdown.escaped(f"[-58, -13]{after}").startswith(r"\[-58, -13\]")


def test_the_page_needs_nothing_else():
    """No script, no address of another machine; every link leads somewhere; ids are unique."""
    text = html.render(report(section("a"), section("b"), timed=(section("fast"),)))
    page = Page(text)
    assert "script" not in page.tags and "link" not in page.tags and "img" not in page.tags
    assert "url(" not in text and "@import" not in text
    assert len(page.ids) == len({*page.ids})
    for link in page.links:
        assert link.removeprefix("#") in page.ids if link.startswith("#") else link in FILES + TIMINGS


def test_a_chart_is_an_image_with_a_title():
    """Screen readers are told what it is; each value can be read off; nothing of the day or the run is in it."""
    chart = Chart("Misses <by> budget", (120, 1_800), {"lru": (3, None), "x & y": (4, 1_500)}, "tokens", "misses")
    text = svg(chart, "one")
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    titles = [found.text for found in root.iter(f"{space}title")]
    assert root.get("role") == "img" and root.get("aria-labelledby") == "title-one"
    assert titles[0] == "Misses <by> budget"
    assert {"3 at 120", "4 at 120", "1,500 at 1,800"} <= {*titles}
    assert "<!--" not in text and "<script" not in text
    assert text == svg(chart, "one")


def test_without_the_extra_a_chart_is_a_table(monkeypatch):
    """Every figure of the chart stands in a table, which says what draws it."""
    monkeypatch.setattr(html, "drawable", lambda: False)
    chart = Chart("Misses <by> budget", (120, 1_800), {"lru": (3, None), "x & y": (4, 1_500)}, "tokens", "misses")
    text = "".join(html._chart(chart, "one"))
    assert "<svg" not in text and "Misses &lt;by&gt; budget" in text
    assert re.findall(r"<t[dh](?: [^>]*)?>([^<]*)", text) == [
        *("tokens", "lru", "x &amp; y"),
        *("120", "3", "4"),
        *("1,800", "", "1,500"),
    ]
    assert "pip install 'clawvm-es[charts]'" in "".join(ET.fromstring(f"<p>{text}</p>").itertext())


@pytest.mark.parametrize("bars", [False, True])
@pytest.mark.parametrize("series", [{}, {"lru": ()}, {"lru": (None, None)}, {str(n): (n, n) for n in range(30)}])
def test_odd_charts_are_drawn(series, bars):
    """No series, no values, or more series than colours."""
    x = ("a long name of a bar", "b") if bars else (1, 2)
    root = ET.fromstring(svg(Chart("t", x, series, bars=bars), "odd"))
    assert root.get("role") == "img" and "t" in {*root.itertext()}


def test_a_policy_has_one_colour_in_all_charts():
    """Its colour does not depend on what stands beside it."""
    alone, beside = (svg(Chart("t", (1,), dict.fromkeys(names, (1,))), "c") for names in (["lru"], ["other", "lru"]))
    assert "color-0 a:visited{stroke:var(--c6)" in alone
    assert "color-1 a:visited{stroke:var(--c6)" in beside


def test_every_policy_has_a_colour_of_its_own():
    """So many policies, so many colours, and the page defines each for light and dark."""
    text = svg(Chart("t", (1,), dict.fromkeys(POLICIES, (1,))), "c")
    colours = re.findall(r"a:visited{stroke:var\((--c\d+)\)", text)
    assert len(colours) == len({*colours}) == len(POLICIES)
    assert all(CSS.count(f"{colour}:#") == 2 for colour in colours)


def test_what_is_no_policy_is_dashed_beside_policies():
    """Bounds do not look like something that could be run."""
    dashes = ".serie-{}{{stroke-dasharray:"
    both = svg(Chart("t", (1, 2), {"lru": (1, 2), "bound fit": (0, 1)}), "c")
    assert dashes.format(1) in both and dashes.format(0) not in both
    assert dashes.format(0) not in svg(Chart("t", (1, 2), {"cost 0": (1, 2)}), "c")


def test_no_format_holds_a_character_that_is_obeyed_or_unseen():
    """LAW-SHOWN-1: names and texts of recordings are made visible on every page, as they are in the program."""
    evil = "id\x1b[31m\x9b2J\u202e\u2066\u200b\x7f\0\u3164\ufffe end"
    made = report(section(text=evil, tables=(table(evil, (evil, 1), ("other", 2)),)))
    pages = [
        markdown.render(made),
        html.render(made),
        csv_report.render(made),
        json_report.render(made.document()),
        svg(Chart(evil, (1, 2), {evil: (1, 2)}, evil, evil), "one"),
    ]
    for page in pages:
        assert "end" in page
        assert visible(page.replace("\n", "")) == page.replace("\n", "")
