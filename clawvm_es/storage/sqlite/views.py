"""The views over the read models and the log, for people and tools that query a journal in SQL.

They are part of what `ModelSpec.version` covers: a journal whose views are others is caught up anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from clawvm_es.journal.ports import ModelSpec, TableSpec
from clawvm_es.storage.sqlite.packing import MARK
from clawvm_es.storage.sqlite.schema import name_is

INHERITED: Final = """
WITH RECURSIVE line (session_id, stream, upto_version) AS (
  SELECT session_id, parent, parent_version FROM sessions WHERE parent IS NOT NULL
  UNION ALL
  SELECT line.session_id, older.parent, min(line.upto_version, older.parent_version)
  FROM line JOIN sessions AS older ON older.session_id = line.stream WHERE older.parent IS NOT NULL
)
SELECT line.session_id, stream, coalesce(own.parent_version, 0) AS after_version, upto_version
FROM line JOIN sessions AS own ON own.session_id = stream
WHERE upto_version > coalesce(own.parent_version, 0)"""
"""Parts of the streams of others that forks inherit: a stream's versions above one and up to another."""


def _text_of(commitment: str) -> str:
    """SQL for the text behind a commitment; NULL where it was sealed or erased.

    A packed one (`packing`) is the blob that is stored: no SQL that every tool knows unpacks it.
    """
    text = f"CASE substr(body, 1, 2) WHEN x'{MARK.hex()}' THEN body ELSE CAST(body AS TEXT) END"
    return f"(SELECT {text} FROM commitments JOIN blobs USING (blob_id) WHERE {name_is(commitment)})"


def _with_inherited(columns: str, which: str) -> str:
    """SQL for rows made of events, including those that a fork inherits from its parents."""
    return f"""
SELECT session_id, {columns}
FROM events WHERE {which}
UNION ALL
SELECT inherited.session_id, {columns}
FROM inherited JOIN events ON events.session_id = inherited.stream
  AND events.version > inherited.after_version AND events.version <= inherited.upto_version
WHERE {which}"""


_AT = "strftime('%Y-%m-%d %H:%M:%f', at / 1000000.0, 'unixepoch')"

_DECISION: Final = f"""turn, version, type,
  json_extract(data, '$.page_id') AS page_id,
  json_extract(data, '$.before') AS before,
  json_extract(data, '$.after') AS after,
  coalesce(json_extract(data, '$.reason'), json_extract(data, '$.rule')) AS reason,
  json_extract(data, '$.fault') AS fault,
  coalesce(json_extract(data, '$.tokens'), json_extract(data, '$.required_tokens')) AS tokens,
  coalesce(json_extract(data, '$.budget_tokens'), json_extract(data, '$.available_tokens')) AS budget_tokens,
  json_extract(data, '$.call') AS call,
  json_extract(data, '$.update') AS update_number,
  json_extract(data, '$.boundary') AS boundary,
  cause, {_AT} AS at, seq, data"""

_VIEWS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "inherited": INHERITED,
        "decision_trace": _with_inherited(_DECISION, "kind = 'decision'"),
        "page_text": f"""
SELECT page.session_id, page.page_id, page.page_type, json_extract(kept.value, '$.level') AS level,
  json_extract(kept.value, '$.tokens') AS tokens, json_extract(kept.value, '$.level') = page.level AS in_prompt,
  page.origin, {_text_of("json_extract(events.data, '$.source')")} AS source,
  {_text_of("json_extract(kept.value, '$.body')")} AS text
FROM all_page_table AS page
LEFT JOIN inherited ON inherited.session_id = page.session_id
  AND page.written_version > inherited.after_version AND page.written_version <= inherited.upto_version
JOIN events ON events.session_id = coalesce(inherited.stream, page.session_id)
  AND events.version = page.written_version,
json_each(events.data, '$.levels') AS kept
WHERE page.changed_since = 0""",
        "tool_calls": _with_inherited(
            f"""turn, version, json_extract(data, '$.call') AS call, json_extract(data, '$.tool') AS tool,
  {_text_of("json_extract(data, '$.name')")} AS name, {_text_of("json_extract(data, '$.arguments')")} AS arguments,
  json_extract(data, '$.served_from') AS served_from, json_extract(data, '$.served_by') AS served_by,
  {_AT} AS at, seq""",
            "type = 'tool_called'",
        ),
        "tool_results": _with_inherited(
            f"""turn, version, json_extract(data, '$.call') AS call, json_extract(data, '$.status') AS status,
  coalesce(json_extract(data, '$.size_bytes'), 0) AS size_bytes,
  {_text_of("json_extract(data, '$.result')")} AS result, {_AT} AS at, seq""",
            "type = 'tool_returned'",
        ),
        "store_values": f"""
SELECT session_id, scope, field, field_version, op, turn, version, principal, evidence,
  {_text_of("durable_store.value")} AS value
FROM all_durable_store AS durable_store""",
    }
)


@cache
def views(spec: ModelSpec) -> Mapping[str, str]:
    """Name of each view → its query: `all_NAME` for the tables that forks inherit rows of, and those over them."""
    tables = {f"all_{table.name}": _all(table) for table in spec.tables if len(table.key) > 1}
    return MappingProxyType({**tables, **_VIEWS})


def _all(table: TableSpec) -> str:
    """SQL for the rows of a table with those that forks inherit: of each key the nearest parent's, made before the
    fork. `changed_since` is 1 where the parent has changed such a row after the fork: it was otherwise then.
    """
    name, (first, last) = table.name, table.span
    columns = [column.name for column in table.columns]
    same = " AND ".join(f"nearer.{key} = {name}.{key}" for key in table.key[1:])
    inherited = ", ".join(f"{name}.{column}" for column in columns if column != "session_id")
    return f"""
SELECT {", ".join(columns)}, 0 AS changed_since FROM {name}
UNION ALL
SELECT inherited.session_id, {inherited}, {name}.{last} > inherited.upto_version
FROM inherited JOIN {name} ON {name}.session_id = inherited.stream AND {name}.{first} <= inherited.upto_version
WHERE NOT EXISTS (
  SELECT 1 FROM {name} AS nearer WHERE nearer.session_id = inherited.session_id AND {same}
) AND NOT EXISTS (
  SELECT 1 FROM inherited AS line JOIN {name} AS nearer ON nearer.session_id = line.stream
    AND nearer.{first} <= line.upto_version AND {same}
  WHERE line.session_id = inherited.session_id AND line.upto_version > inherited.upto_version
)"""
