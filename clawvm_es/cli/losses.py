"""`clawvm losses`: pages that a session lost and needed again. Twin of `clawvm_es.views.lost`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from clawvm_es import views
from clawvm_es.cli.importing import LOSS_COLUMNS
from clawvm_es.cli.options import journal_argument, json_option, session_option
from clawvm_es.cli.tables import emit_rows, fitted, shape_options

_CUTS: Final = {"compact": "compaction", "micro": "results taken out", "clear": "clear", "rewind": "rewind"}
_BOUNDARIES: Final = {"compact": "compaction", "prune": "pruning", "reset": "reset", "end": "end"}


@click.command()
@journal_argument
@session_option
@shape_options
@json_option
def losses(journal: str, session: str | None, as_json: bool) -> None:
    """Show the pages that a boundary took out of the prompt and the agent needed later, and every other loss.

    For an imported session these are the harness's own losses. Text that its summary holds is not lost.

    \b
    Example:
      clawvm losses j.db
      clawvm losses j.db --session 9d7a --csv
    """
    with views.opened(journal) as log:
        document = {"journal": journal} | views.lost(log, views.chosen(log, session))
    emit_rows(document, document["losses"], LOSS_COLUMNS, as_json, text=_lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    from clawvm_es.cli.output import counted, style

    for each in document["boundaries"]:
        kind = _CUTS.get(each["cut"] or "", _BOUNDARIES.get(each["boundary"], each["boundary"]))
        took = f"turn {each['turn']}, {kind}: {counted(each['pages'], 'page')}, {each['tokens']:,} tokens taken out"
        summary = ", a summary in their place" if each["summary"] else ""
        inferred = " (inferred from the provider's counts)" if each["inferred"] else ""
        yield style(f"{took}{summary}{inferred}", bold=True)
        later = each["needed_later"]
        yield from fitted(later, LOSS_COLUMNS) if later else ["nothing of it was needed later"]
        yield ""
    rest = [each for each in document["losses"] if each["boundary"] is None or each["kind"] == "rule_lost"]
    if rest:
        yield style("not in the prompt", bold=True)
        yield from fitted(rest, LOSS_COLUMNS)
    elif not document["losses"]:
        yield "nothing that was needed was out of the prompt"
