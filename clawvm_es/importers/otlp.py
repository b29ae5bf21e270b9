"""Spans and logs of OTLP/JSON, and plain lists of them: ids, times, and attributes as flat names → JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from clawvm_es.observe.fields import Fields, instant, parse_json

_INDEX_DIGITS: Final = 6


@attrs.frozen
class Span:
    """A span; `attributes` and those of its `events` have dotted names. `number` is its place in the file, from 1."""

    trace: str
    span: str
    parent: str
    name: str
    began_us: int
    ended_us: int
    attributes: Mapping[str, object]
    events: tuple[tuple[str, Mapping[str, object]], ...] = ()
    number: int = 0

    def text(self, *names: str) -> str:
        """The first of these attributes that is a text."""
        given = Fields(self.attributes)
        return next((given.text(name) for name in names if given.text(name)), "")

    def count(self, *names: str) -> int:
        """The first of these attributes that is a count, as a number or as text."""
        for name in names:
            value = self.attributes.get(name)
            if isinstance(value, str) and value.isascii() and value.isdigit():
                value = int(value[:20])
            if found := Fields({"n": value}).count("n"):
                return found
        return 0


@attrs.frozen
class Log:
    """A record of a log: its event, and its attributes with its `body`. `number` is its place in the file."""

    trace: str
    span: str
    name: str
    at_us: int
    given: Mapping[str, object]
    number: int = 0


def logs_in(value: object, number: int = 0) -> Iterator[Log]:
    """The records of logs in a JSON value, numbered from `number`."""
    for place, record in enumerate(_records(value), number + 1):
        given = {**attributes_of(record.raw.get("attributes")), "body": _body(record)}
        name = record.text("eventName") or record.text("event_name") or Fields(given).text("event.name")
        at_us = _time(record, place, *_LOG_TIMES)
        yield Log(*_ids(record), name, at_us, given, place)


def _records(value: object) -> Iterator[Fields]:
    """Each record of a log as written."""
    if isinstance(value, list):
        for item in value:
            yield from _records(item)
        return
    given = Fields.of(value)
    if is_log(given):
        yield given
    for resource in (*given.objects("resourceLogs"), *given.objects("resource_logs")):
        for scope in (*resource.objects("scopeLogs"), *resource.objects("scope_logs")):
            yield from (*scope.objects("logRecords"), *scope.objects("log_records"))


def is_log(value: Fields) -> bool:
    """Tell whether an object is a record of a log: it has a body, and the ids of a span that it belongs to."""
    return "body" in value and is_span(value)


def _body(record: Fields) -> object:
    """The body of a record: a JSON value, or an `AnyValue`."""
    body = record.raw.get("body")
    inner = Fields.of(body)
    return _any_value(body) if len(inner.raw) == 1 and next(iter(inner.raw)) in _ANY else body


_LOG_TIMES: Final = ("timeUnixNano", "time_unix_nano", "observedTimeUnixNano", "timestamp", "observed_timestamp")


def spans_in(value: object, number: int = 0) -> Iterator[Span]:
    """The spans of a JSON value: an export, a span, or an array or object that holds some; numbered from `number`."""
    for place, (span, outer) in enumerate(_objects(value), number + 1):
        yield _span(span, outer, place)


def _objects(value: object) -> Iterator[tuple[Fields, Mapping[str, object]]]:
    """Each span as written, with the attributes of its resource."""
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)
        return
    given = Fields.of(value)
    if is_span(given) and not is_log(given):
        yield given, {}
    for resource in (*given.objects("resourceSpans"), *given.objects("resource_spans")):
        outer = attributes_of(resource.fields("resource").raw.get("attributes"))
        for scope in (each for name in _SCOPES for each in resource.objects(name)):
            yield from ((span, outer) for span in scope.objects("spans"))
    for name in ("spans", "data", "traces"):
        if not is_span(given) and isinstance(given.raw.get(name), list):
            yield from _objects(given.raw[name])


_SCOPES: Final = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")


def is_span(value: Fields) -> bool:
    """Tell whether an object is a span: it has an id of its own and one of its trace."""
    ids = value.fields("context") or value
    return any(ids.text(trace) and ids.text(span) for trace, span in (("traceId", "spanId"), ("trace_id", "span_id")))


def _span(span: Fields, outer: Mapping[str, object], number: int) -> Span:
    ids = span.fields("context") or span
    begun = _time(span, number, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime")
    events = span.objects("events")
    return Span(
        *_ids(ids),
        span.text("parentSpanId") or span.text("parent_span_id") or span.text("parent_id"),
        span.text("name"),
        begun,
        max(begun, _time(span, number, "endTimeUnixNano", "end_time_unix_nano", "end_time", "endTime")),
        {**outer, **attributes_of(span.raw.get("attributes"))},
        tuple((each.text("name"), attributes_of(each.raw.get("attributes"))) for each in events),
        number,
    )


def _ids(ids: Fields) -> tuple[str, str]:
    return ids.text("traceId") or ids.text("trace_id"), ids.text("spanId") or ids.text("span_id")


def _time(span: Fields, number: int, *names: str) -> int:
    value = next((span.raw[name] for name in names if name in span), None)
    text = str(value) if isinstance(value, (str, int)) else ""
    if text.isascii() and text.isdigit() and len(text) in range(16, 20):
        return int(text) // 1000
    return instant(value, number)


def attributes_of(value: object) -> Mapping[str, object]:
    """Attributes by dotted names, from a list of keys and values, or from an object, which may be nested."""
    if isinstance(value, list):
        pairs = map(Fields.of, value)
        return {pair.text("key"): _any_value(pair.raw.get("value")) for pair in pairs if pair.text("key")}
    return dict(_flat(value, "")) if isinstance(value, dict) else {}


def _flat(value: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def _any_value(value: object) -> object:
    """The JSON value of an `AnyValue` of OTLP."""
    given = Fields.of(value)
    if "arrayValue" in given:
        return [_any_value(each.raw) for each in given.fields("arrayValue").objects("values")]
    if "kvlistValue" in given:
        pairs = given.fields("kvlistValue").objects("values")
        return {pair.text("key"): _any_value(pair.raw.get("value")) for pair in pairs}
    if "intValue" in given:
        number = str(given.raw["intValue"])
        return int(number) if number.removeprefix("-").isdecimal() and len(number) <= 18 else None
    return next((given.raw[name] for name in _SCALARS if name in given), None)


_SCALARS: Final = ("stringValue", "boolValue", "doubleValue", "bytesValue")
_ANY: Final = frozenset((*_SCALARS, "intValue", "arrayValue", "kvlistValue"))


def listed(attributes: Mapping[str, object], name: str) -> list[object]:
    """The items of a list: as an array, as JSON text of one, or as attributes `name.0.…`, `name.1.…`."""
    value = decoded(attributes.get(name))
    if isinstance(value, list):
        return [nested(item) if isinstance(item, dict) else item for item in value]
    if isinstance(value, dict):
        return [nested(value)]
    items: dict[int, dict[str, object]] = {}
    for key, each in attributes.items():
        place, dot, rest = key.removeprefix(f"{name}.").partition(".")
        if key.startswith(f"{name}.") and dot and place.isdecimal() and len(place) <= _INDEX_DIGITS:
            items.setdefault(int(place), {})[rest] = each
    return [nested(items[place]) for place in sorted(items)]


def decoded(value: object) -> object:
    """A value, or the value of its JSON text."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return parse_json(value)
        except ValueError:
            return value
    return value


def nested(flat: Mapping[str, object]) -> object:
    """The object that dotted names describe; an object whose names count from 0 becomes an array."""
    groups: dict[str, dict[str, object]] = {}
    whole: dict[str, object] = {}
    for name, value in flat.items():
        first, dot, rest = name.partition(".")
        if dot and rest:
            groups.setdefault(first, {})[rest] = value
        else:
            whole[name] = nested(value) if isinstance(value, dict) else value
    whole.update((first, nested(inner)) for first, inner in groups.items() if not isinstance(whole.get(first), dict))
    if whole and all(name.isdecimal() and len(name) <= _INDEX_DIGITS for name in whole):
        return [whole[name] for name in sorted(whole, key=int)]
    return whole
