"""`clawvm archive`: closed sessions in a folder of bundles."""

from __future__ import annotations

import re
import time
from typing import Any, Final

import click

from clawvm_es.cli.options import journal_argument, json_option

_UNITS: Final = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def seconds(context: click.Context, parameter: click.Parameter, value: str) -> int:
    """A length of time such as `30d`, in seconds."""
    match = re.fullmatch(r"(\d{1,6})(s|min|h|d|w)", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no length of time: 30d, 12h, 0s", context, parameter)
    return int(match[1]) * _UNITS[match[2]]


@click.command()
@journal_argument
@click.option("--output", "-o", type=click.Path(file_okay=False), required=True, metavar="DIR", help="The archive.")
@click.option("--key", type=click.Path(dir_okay=False), required=True, metavar="FILE", help="Sign with this key.")
@click.option(
    "--older-than", "older_s", callback=seconds, default="30d", metavar="TIME",
    help="Only sessions whose last event is at least this old: s, min, h, d or w. Default: 30d.",
)  # fmt: skip
@click.option("--open", "open_too", is_flag=True, help="Sessions that were never closed, too.")
@click.option("--session", "-s", "wanted", multiple=True, metavar="ID", help="Only these sessions.")
@json_option
def archive(
    journal: str, output: str, key: str, older_s: int, open_too: bool, wanted: tuple[str, ...], as_json: bool
) -> None:
    """Write closed sessions to a folder of signed bundles; every reading verb accepts the folder as a journal.

    A bundle is packed, and verified before it gets its name. Sessions that the folder holds are not written again,
    so that an interrupted run can be repeated. The journal is not changed: a log is never cut. If texts of an
    archived session were erased since, a new bundle is written without them and the old one is removed.

    \b
    Example:
      clawvm archive j.db -o archive --key anchor.key --older-than 30d
      clawvm sessions archive
      clawvm prompt archive --session run-1 --turn 9
    """
    from clawvm_es.cli.output import counted, emit, progress
    from clawvm_es.journal import anchors
    from clawvm_es.views.archived import archived
    from clawvm_es.views.reading import chosen, opened, require_journal

    require_journal(journal)
    with opened(journal) as log, progress("archiving") as report:
        ids = sorted({chosen(log, each) for each in wanted})
        secret = anchors.load_secret(key, int(time.time()))
        document: dict[str, Any] = {"journal": journal} | archived(
            log, output, secret, older_s=older_s, open_too=open_too, wanted=ids, progress=report
        )
    lines = [
        f"{each['file']}: {counted(len(each['sessions']), 'session')}, {each['bytes']:,} bytes "
        f"({each['unpacked_bytes']:,} unpacked)"
        for each in document["written"]
    ]
    lines += [f"{each}: removed, texts in it were erased" for each in document["removed"]]
    lines += [f"! {each}: missing; its sessions count as not archived" for each in document["missing"]]
    kept = [f"{document[name]} {words}" for name, words in _KEPT if document[name]]
    written = f"{counted(document['sessions'], 'session')} written"
    lines.append(f"{output}: {', '.join([written, *kept])}")
    emit(document, lines, as_json)


_KEPT: Final = (("held", "there already"), ("open", "still open (--open archives them too)"), ("young", "too young"))
