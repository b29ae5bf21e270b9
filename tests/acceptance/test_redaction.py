"""Erasure as a user at a shell meets it: what is said, what is in the way, and what an interruption leaves."""

import contextlib
import json
import re
import resource
import secrets
import signal
import sqlite3
import subprocess
import zlib

import pytest

from clawvm_es.storage.sqlite import packing
from tests.acceptance.user import PROGRAM, conversation, in_shell, refused, result
from tests.waiting import until


@pytest.fixture
def held(tmp_path, file, run):
    """A journal in which two sessions and a fork hold a canary in a tool's result: its path, the canary."""
    canary = f"canary{secrets.token_hex(20)}"
    path = tmp_path / "j.db"
    for name in ("first", "second"):
        rows = conversation(30, name)
        rows[4]["message"]["content"] = result("c1", "\n".join(f"{n} holds {canary}" for n in range(200)))
        assert run("replay", file(rows, f"{name}.jsonl"), "-j", path, "--budget", 2000).code == 0
    assert run("replay", file(conversation(5, "third")), "-j", path).code == 0
    return path, canary


def found(path, canary):
    """Tell whether a text is in the journal's files: plain, behind a packed body's mark, or in a stored body."""
    files = [each for each in path.parent.iterdir() if each.name.startswith(path.name) and each.is_file()]
    raws = [each.read_bytes() for each in files]
    if any(canary.encode() in raw for raw in raws) or any(canary.encode() in raw for raw in map(inflated, raws)):
        return True
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return any(canary.encode() in packing.readable(*row) for row in db.execute("SELECT body, digest FROM blobs"))


def inflated(raw):
    """The beginnings of all that may be packed bodies in a file, as far as they lie in one piece."""
    starts = (match.start() for match in re.finditer(re.escape(packing.MARK), raw))
    return b"".join(part for start in starts if (part := beginning(raw[start : start + 4096])))


def beginning(packed):
    """What the first bytes of a zlib stream hold; empty if they are none."""
    stream, found = zlib.decompressobj(), []
    try:
        for at in range(len(packed)):
            found.append(stream.decompress(packed[at : at + 1]))
    except zlib.error:
        pass
    return b"".join(found)


def test_erased_texts_are_gone_and_the_log_says_so(held, run):
    """One page of one session, everywhere: every stream that held it says so, and the journal verifies."""
    path, canary = held
    ran = run("redact", path, "--pattern", canary, "--yes", "--by", "dpo", "--reason", "retention", "--json")
    document = ran.json
    assert ran.code == 0 and document["status"] == "erased" and document["held_by"] == []
    assert {event["session_id"] for event in document["events"]} == {"first", "second"}
    assert not found(path, canary)
    assert run("verify", path, "--redecide").code == 0
    log = run("log", path, "--type", "content_redacted").out
    assert log.count("by=dpo") == 2 and log.count("reason=retention") == 2
    again = run("redact", path, "--pattern", canary, "--yes", "--json")
    assert again.code == 0 and again.json["status"] == "nothing"


def test_other_holders_are_named(held, run):
    """Of one session only: the text stays in the other, which is named."""
    path, canary = held
    (page,) = [
        row["page_id"]
        for row in run("pages", path, "-s", "first", "--json").json["pages"]
        if row["page_type"] == "evidence" and canary in run("show", path, row["page_id"], "-s", "first").out
    ]
    planned = run("redact", path, "-s", "first", "--page", page, "--dry-run", "--json").json
    assert planned["status"] == "planned" and planned["held_by"] == ["second"]
    ran = run("redact", path, "-s", "first", "--page", page)
    assert ran.code == 0 and "still held by second" in ran.out and found(path, canary)
    assert run("redact", path, "-s", "second", "--page", page).code == 0
    assert not found(path, canary)


def test_a_reader_in_the_way_is_pending_and_the_next_verb_finishes(held, run):
    """Exit code 1 while a reader holds old pages; once it is gone, any verb that opens the journal finishes."""
    path, canary = held
    with sqlite3.connect(path, isolation_level=None) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        ran = run("redact", path, "--pattern", canary, "--yes", "--json")
        assert ran.code == 1 and ran.json["status"] == "pending"
        assert run("sessions", path).code == 0 and found(path, canary)
        reader.execute("COMMIT")
    reader.close()
    assert run("sessions", path).code == 0
    assert not found(path, canary)
    assert run("verify", path).code == 0


def sizes(path):
    """Name, size and time of each of the journal's files."""
    found = []
    for each in path.parent.glob(f"{path.name}*"):
        with contextlib.suppress(FileNotFoundError):
            found.append((each.name, each.stat().st_size, each.stat().st_mtime_ns))
    return tuple(sorted(found))


@pytest.mark.parametrize("changes", range(6))
def test_a_killed_erasure_is_finished_by_the_same_command(held, run, changes):
    """Killed after its files changed so often: the journal verifies, and the same command leaves no trace."""
    path, canary = held
    seen = {sizes(path)}
    started = subprocess.Popen(
        [*PROGRAM, "redact", str(path), "--pattern", canary, "--yes"], stdout=subprocess.DEVNULL
    )
    until(lambda: started.poll() is not None or len(seen.add(sizes(path)) or seen) > changes, "changes of the files")
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert run("verify", path).code == 0
    assert run("redact", path, "--pattern", canary, "--yes").code == 0
    assert not found(path, canary)
    assert run("verify", path, "--redecide").code == 0


def test_a_full_disk_erases_nothing_or_is_pending(held, run):
    """Where the file cannot grow, either nothing was erased (exit code 2) or it is pending (1); then it goes on."""
    path, canary = held
    limit = path.stat().st_size + 8 * 1024
    ran = in_shell(
        "redact", path, "--pattern", canary, "--yes",
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit // 8, limit // 8)),
        ),
    )  # fmt: skip
    assert ran.code in (1, 2), ran
    assert run("verify", path).code == 0
    assert run("redact", path, "--pattern", canary, "--yes").code == 0
    assert not found(path, canary)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), ["--page"]),
        (("--page", "p1", "--all"), ["--page"]),
        (("--page", "p1"), ["--session"]),
        (("-s", "first", "--page", "p999"), ["p999"]),
        (("--body", "abc"), ["abc"]),
        (("--pattern", "("), ["regular expression"]),
        (("--pattern", "x", "--by", "a b"), ["a b"]),
        (("-s", "nobody", "--all"), ["nobody"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_said_in_one_line(held, run, options, says):
    """Nothing named, two things named, what does not exist: exit code 2, and nothing is erased."""
    path, canary = held
    assert refused(run("redact", path, *options), *says)
    assert found(path, canary)


def test_a_seeded_journal_warns(tmp_path, file, run):
    """Commitments of a reproducible journal can be guessed; that is said."""
    path = tmp_path / "j.db"
    run("replay", file(conversation(3)), "-j", path, "--seed", 7)
    ran = run("redact", path, "--all")
    assert ran.code == 0 and "seed" in ran.out


def test_replay_hides_secrets(tmp_path, file, run):
    """No credential of a known form gets into the journal, and how many texts held one is counted.

    A session stays as it began, whatever is asked for later; `--keep-secrets` begins one that keeps them.
    """
    token = "ghp_" + secrets.token_hex(18)
    rows = conversation(3)
    rows[2]["message"]["content"] = result("c0", f"export GITHUB_TOKEN={token}\nexport A=1")
    path = tmp_path / "j.db"
    ran = run("replay", file(json.loads(json.dumps(rows))), "-j", path, "--json")
    assert ran.code == 0 and ran.json["sessions"][0]["skipped"]["hidden_secret"] == 1
    assert not found(path, token)
    assert "[GitHub token hidden]" in "".join(run("show", path, f"p{n}").out for n in range(1, 5))
    for flag in ("--hide-secrets", "--keep-secrets"):
        assert run("replay", file(rows), "-j", path, flag, "--json").json["sessions"][0]["appended"] == 0
    assert run("replay", file(rows), "-j", tmp_path / "kept.db", "--keep-secrets").code == 0
    assert found(tmp_path / "kept.db", token)
