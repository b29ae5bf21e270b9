"""Charts as SVG, drawn by pygal: no script, no network, colours from the page that they stand in."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from itertools import cycle
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement

from clawvm_es.evaluation.cells import Chart, Front
from clawvm_es.evaluation.report.text import clean

COLOURS: Final = 14
"""The page defines `--c0` up to this many."""
_POLICIES: Final = {
    "retrieval": 0,
    "retrieval+fixed": 1,
    "retrieval_cache": 2,
    "retrieval_cache+fixed": 3,
    "compaction_hybrid": 4,
    "compaction_hybrid+fixed": 5,
    "lru": 6,
    "clawvm": 7,
    "oracle": 8,
    "clawvm_paper": 9,
    "clawvm_turn": 10,
    "lru_turn": 11,
    "the harness": 12,
}
"""Policy → its colour."""
_WIDTH: Final = 860
_HEIGHT: Final = 400
_FRONT_HEIGHT: Final = 480
_NARROW_WIDTH: Final = 400
_LEGEND_ROW: Final = 22


def drawable() -> bool:
    """Tell whether the library that draws is installed: it comes with the extra `charts`."""
    return find_spec("pygal") is not None


def svg(chart: Chart, identity: str) -> str:
    """The drawing of a chart as an `svg` element; `identity` is unique on its page."""
    import pygal  # type: ignore[import-untyped]
    from pygal.etree import etree  # type: ignore[import-untyped]

    etree.to_etree()  # the same bytes whether or not lxml is installed
    style = _style(tuple(f"var(--c{number})" for number in _colours(chart)), len(chart.series), chart.bars)
    kind = pygal.Bar if chart.bars else pygal.Line
    drawing = kind(
        style=style,
        js=(),
        width=_WIDTH,
        height=_HEIGHT,
        x_title=clean(chart.x_title) or None,
        y_title=clean(chart.y_title) or None,
        disable_xml_declaration=True,
        include_x_axis=True,
        min_scale=3,
        max_scale=7,
        dots_size=3.5,
        truncate_legend=40,
        truncate_label=40,
        x_label_rotation=20 if chart.bars and max(map(len, map(str, chart.x)), default=0) > 12 else 0,
        value_formatter=number,
    )
    drawing.uuid = identity
    drawing.x_labels = [number(place) if isinstance(place, int) else clean(place) for place in chart.x]
    for name, values in chart.series.items():
        beside = name not in _POLICIES and not _POLICIES.keys().isdisjoint(chart.series)
        dashed = {"stroke_style": {"dasharray": "6,4"}} if beside and not chart.bars else {}
        drawing.add(clean(name), list(values), **dashed)
    drawing.add_xml_filter(lambda root: _plain(root, identity, clean(chart.title)))
    text: str = drawing.render(is_unicode=True)
    return text


def _style(colours: tuple[str, ...], series: int, bars: bool = False) -> Any:
    """Colours and sizes; the page sets what the colours are."""
    from pygal.style import Style  # type: ignore[import-untyped]

    return Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--ink)",
        foreground_strong="var(--ink)",
        foreground_subtle="var(--soft)",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        colors=colours,
        value_colors=("var(--ink)",) * max(series, 1),
        font_family="inherit",
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=13,
        opacity="1" if not bars else ".85",
        stroke_opacity="1",
        stroke_width="2.2",
        title_font_size=13,
        transition="0s",
    )


def front(picture: Front, identity: str, narrow: bool = False) -> str:
    """The drawing of points of two figures as an `svg` element, for a broad or a narrow page.

    `identity` is unique on its page.
    """
    import pygal
    from pygal.etree import etree

    etree.to_etree()
    colours = tuple(f"var(--c{number})" for number in _colours_of(picture.points))
    drawing = pygal.XY(
        style=_style(colours, len(picture.points)),
        js=(),
        width=_NARROW_WIDTH if narrow else _WIDTH,
        height=_FRONT_HEIGHT + (_LEGEND_ROW * (len(picture.points) // 2) if narrow else 0),
        legend_at_bottom=narrow,
        legend_at_bottom_columns=2,
        x_title=clean(picture.x_title),
        y_title=clean(picture.y_title),
        disable_xml_declaration=True,
        range=(0, max((y for told in picture.points.values() for _, _, y in told), default=1)),
        dots_size=4,
        truncate_legend=40,
        value_formatter=number,
        x_value_formatter=number,
        show_x_guides=True,
    )
    drawing.uuid = identity
    for name, told in picture.points.items():
        alone = len(told) == 1
        dots = [{"value": (x, y), "label": clean(label)} for label, x, y in told]
        drawing.add(clean(name), dots, stroke=not alone, dots_size=9 if alone else 4)
    drawing.add_xml_filter(lambda root: _plain(root, identity, clean(picture.title)))
    text: str = drawing.render(is_unicode=True)
    return text


def number(value: Any) -> str:
    """A figure as people read it."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def _colours(chart: Chart) -> list[int]:
    """A policy has the same colour in all charts; other series take the remaining colours, in order."""
    return _colours_of(chart.series)


def _colours_of(names: Iterable[str]) -> list[int]:
    names = list(names)
    taken = [_POLICIES[name] for name in names if name in _POLICIES]
    free = cycle([place for place in reversed(range(COLOURS)) if place not in taken])
    return [_POLICIES[name] if name in _POLICIES else next(free) for name in names]


def _plain(root: Element, identity: str, title: str) -> Element:
    """Without scripts and comments (they hold a date); with a title that screen readers read out, and tool tips."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "script" or not isinstance(child.tag, str):
                parent.remove(child)
    for element in root.iter():
        element.attrib.pop("id", None)  # the same in every chart
    root.set("id", f"chart-{identity}")
    for old in root.findall("title"):
        root.remove(old)
    name = Element("title", id=f"title-{identity}")
    name.text = title
    root.insert(0, name)
    root.set("role", "img")
    root.set("aria-labelledby", f"title-{identity}")
    for group in root.iter("g"):
        _tip(group)
    return root


def _tip(group: Element) -> None:
    """Tooltip of a dot or bar in a browser."""
    told = [found.text for kind in ("value", "x_label") for found in group.findall(f"desc[@class='{kind}']")]
    if told:
        SubElement(group, "title").text = " at ".join(filter(None, told))
