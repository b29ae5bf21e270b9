"""`clawvm checkpoint` and `bundle`: prove a journal to people who do not trust its file."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import click

from clawvm_es.cli.options import Whole, journal_argument, json_option

if TYPE_CHECKING:
    from clawvm_es.journal.ports import EventLog

KEY_DAYS: Final = 365
_file = click.Path(dir_okay=False)


@click.command()
@journal_argument
@click.option("--key", type=_file, metavar="FILE", help="Sign with this secret key.")
@click.option("--output", "-o", type=_file, metavar="FILE", help="File for the signed note. Default: stdout.")
@click.option("--since", type=_file, metavar="FILE", help="Prove also that the log goes on from this checkpoint.")
@click.option("--make-key", type=_file, metavar="FILE", help="Make a key pair, FILE and FILE.pub, and do no more.")
@click.option(
    "--days",
    type=Whole(1, 36_500),
    metavar="N",
    default=KEY_DAYS,
    show_default=True,
    help="How long the new key is good.",
)
@json_option
@click.pass_context
def checkpoint(
    context: click.Context,
    journal: str,
    key: str | None,
    output: str | None,
    since: str | None,
    make_key: str | None,
    days: int,
    as_json: bool,
) -> None:
    """Sign the journal's present state in a note to keep elsewhere; `verify --anchor` checks the journal against it.

    A checkpoint already in the output file is replaced only if the log continues from it. With --since, the
    consistency proof is written beside the output, as OUTPUT.proof.

    \b
    Example:
      clawvm checkpoint j.db --make-key anchor.key
      clawvm checkpoint j.db --key anchor.key -o j.checkpoint
      clawvm verify j.db --anchor j.checkpoint --key anchor.key.pub
    """
    from clawvm_es.errors import AnchorRefused, UsageError
    from clawvm_es.views.reading import opened, require_journal

    require_journal(journal)
    if (key is None) == (make_key is None):
        raise UsageError("a checkpoint needs a key", hint="give --key FILE, or make one with --make-key FILE")
    with opened(journal) as log:
        if make_key is not None:
            _make_key(log, make_key, days, as_json)
            return
        assert key is not None
        try:
            _checkpoint(log, journal, key, output, since, as_json)
        except AnchorRefused as error:
            _refused(context, journal, error, as_json)


@click.command()
@journal_argument
@click.option("--session", "-s", "wanted", multiple=True, metavar="ID", help="Session id, or the beginning of one.")
@click.option("--key", type=_file, metavar="FILE", help="Sign the journal as it is now with this secret key.")
@click.option("--anchor", type=_file, metavar="FILE", help="Or: bundle as of this checkpoint.")
@click.option("--output", "-o", type=_file, required=True, metavar="FILE", help="File to write.")
@json_option
@click.pass_context
def bundle(
    context: click.Context,
    journal: str,
    wanted: tuple[str, ...],
    key: str | None,
    anchor: str | None,
    output: str,
    as_json: bool,
) -> None:
    """Write sessions and their dependencies to one file that anyone with the public key can verify.

    Without --session, all sessions. The file holds their texts. `verify_bundle` checks it with nothing but
    Python's standard library.

    \b
    Example:
      clawvm bundle j.db --session run-1 --key anchor.key -o run-1.clawvm.bundle
      python -m clawvm_es.verify_bundle run-1.clawvm.bundle --key anchor.key.pub
    """
    from clawvm_es.errors import AnchorRefused, UsageError
    from clawvm_es.views.reading import chosen, known_sessions, opened, require_journal

    require_journal(journal)
    if (key is None) == (anchor is None):
        raise UsageError("a bundle needs one checkpoint", hint="give either --key FILE or --anchor FILE")
    with opened(journal) as log:
        ids = sorted({chosen(log, each) for each in wanted}) or known_sessions(log) or [chosen(log, None)]
        try:
            _bundle(log, journal, ids, key, anchor, output, as_json)
        except AnchorRefused as error:
            _refused(context, journal, error, as_json)


def _bundle(
    log: EventLog, journal: str, ids: list[str], key_path: str | None, anchor: str | None, output: str, as_json: bool
) -> None:
    from clawvm_es.cli.output import counted, emit
    from clawvm_es.errors import UsageError
    from clawvm_es.files import write_whole
    from clawvm_es.history.bundle import bundle
    from clawvm_es.journal import anchors
    from clawvm_es.journal.bundled import FIRST_BYTES

    if os.path.exists(output) and not read_input(output).startswith(FIRST_BYTES):
        raise UsageError(f"{output} is there and is no bundle", hint="choose another file")
    if anchor is not None:
        note = read_input(anchor)
    else:
        note, _ = anchors.take_checkpoint(log, anchors.load_secret(str(key_path), int(time.time())))
    written = write_whole(output, bundle(log, ids, note))
    document = {"journal": journal, "sessions": ids, "output": output, "bytes": written, "checkpoint": note.decode()}
    size = anchors.unverified(note).size
    sessions = counted(len(ids), "session")
    emit(document, [f"{output}: {written:,} bytes, {sessions} as of the first {size:,} events"], as_json)


def _make_key(log: EventLog, path: str, days: int, as_json: bool) -> None:
    from clawvm_es.cli.output import emit
    from clawvm_es.journal import anchors

    public = anchors.make_key(path, log.journal_id, days, int(time.time()))
    document = {
        "name": public.name,
        "key_id": public.key_id.hex(),
        "not_after": public.not_after,
        "secret": path,
        "public": path + ".pub",
    }
    lines = [
        f"{path}: the secret key, good until {public.not_after}; keep it away from the journal",
        f"{path}.pub: the public key, for those who verify",
    ]
    emit(document, lines, as_json)


def _checkpoint(
    log: EventLog, journal: str, key_path: str, output: str | None, since: str | None, as_json: bool
) -> None:
    """Sign, and write proof and note; if anything is refused, nothing is written."""
    from clawvm_es.cli.output import emit, emit_document
    from clawvm_es.errors import UsageError
    from clawvm_es.files import write_whole
    from clawvm_es.journal import anchors

    if since is not None and output is None:
        raise UsageError("--since writes its proof beside the output", hint="give --output FILE too")
    key = anchors.load_secret(key_path, int(time.time()))
    earlier = [note for note in (_given(since), _replaced(output)) if note is not None]
    note, proofs = anchors.take_checkpoint(log, key, earlier)
    signed = anchors.unverified(note)
    if output is not None:
        if since is not None:  # first, so that no note stands there without its proof
            write_whole(output + ".proof", [proofs[0]])
        write_whole(output, [note])
    document: dict[str, Any] = {
        "journal": journal,
        "origin": signed.origin,
        "size": signed.size,
        "root": signed.root.hex(),
        "key": {"name": key.public.name, "key_id": key.public.key_id.hex(), "not_after": key.public.not_after},
        "output": output,
        "proof": None if since is None else f"{output}.proof",
        "note": note.decode(),
    }
    if output is None and not as_json:
        emit_document([note])
        return
    emit(
        document, [f"{output}: {signed.size:,} events signed by {key.public.name} {key.public.key_id.hex()}"], as_json
    )


def _given(path: str | None) -> bytes | None:
    return None if path is None else read_input(path)


def _replaced(path: str | None) -> bytes | None:
    """The checkpoint that the output would replace; any other existing file is not overwritten."""
    from clawvm_es.errors import AnchorRefused, UsageError
    from clawvm_es.journal.anchors import unverified

    if path is None or not os.path.exists(path):
        return None
    note = read_input(path)
    try:
        unverified(note)
    except AnchorRefused as error:
        raise UsageError(f"{path} is there and is no checkpoint", hint="choose another file") from error
    return note


def _refused(context: click.Context, journal: str, error: Any, as_json: bool) -> None:
    """Answer no; nothing was written."""
    from clawvm_es.cli.output import bad, emit

    problem = {"what": error.what, "where": "checkpoint", "detail": error.message}
    emit(
        {"journal": journal, "ok": False, "problems": [problem]},
        [f"{bad('✗')} {error.what}: {error.message}"],
        as_json,
    )
    context.exit(1)


def read_input(path: str) -> bytes:
    """The bytes of a small input file; raises `UnreadableInput`."""
    from clawvm_es.errors import UnreadableInput
    from clawvm_es.journal.anchors.notes import NOTE_BYTES_MAX
    from clawvm_es.storage import read_bytes

    try:
        return read_bytes(path, NOTE_BYTES_MAX + 1)
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}") from error
