"""`clawvm catalogue`: questions over many journals, from their export as Parquet."""

from __future__ import annotations

import os

import click

from clawvm_es.cli.options import Whole, complete_names, json_option


@click.command()
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.argument("question", required=False, metavar="[SQL|NAME]", shell_complete=complete_names)
@click.option("--turn", type=Whole(0), default=0, metavar="N", help="Of ready questions: after this turn.")
@json_option
def catalogue(folder: str, question: str | None, turn: int, as_json: bool) -> None:
    """Query a folder of journals exported as Parquet: in SQL, or by the name of a ready question.

    Without a question, lists the ready ones. The tables are journals, events, sessions, turns, page_table, faults,
    durable_store and updates; each has a column journal_id. They hold no text of a session.

    \b
    Example:
      clawvm export j.db --as parquet -o lake
      clawvm catalogue lake faults
      clawvm catalogue lake rules-missing --turn 20
      clawvm catalogue lake 'SELECT policy, avg(faults) FROM sessions GROUP BY policy'
    """
    from clawvm_es.cli.output import counted, emit
    from clawvm_es.cli.tables import table
    from clawvm_es.errors import UnreadableInput
    from clawvm_es.views.lake import QUESTIONS
    from clawvm_es.views.lake import catalogue as ask

    if not os.path.isdir(folder):
        raise UnreadableInput(
            f"{folder}: there is no such folder", hint="clawvm export JOURNAL --as parquet -o DIR makes it"
        )
    if question is None:
        known = {name: told for name, (told, _) in QUESTIONS.items()}
        emit({"questions": known}, list(table(known.items(), ("question", "answer"))), as_json)
        return
    document = ask(folder, question, turn)
    cells = [["" if cell is None else cell for cell in row] for row in document["rows"]]
    lines = (
        [*table(cells, document["columns"], plain=True), counted(len(cells), "row")]
        if document["columns"]
        else ["done"]
    )
    emit({"lake": folder} | document, lines, as_json)
