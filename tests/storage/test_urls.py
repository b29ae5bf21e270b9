"""Journals by their URL: each storage is named, an unknown one is refused, and one of less ability says so."""

import os

import pytest

from clawvm_es import storage
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import MissingCapability, UnreadableInput, UsageError
from clawvm_es.testing.logs import budget


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}", "SQLite:///{}"])
def test_a_file_by_path_and_by_url(tmp_path, form):
    """A path and an sqlite:/// URL name the same file."""
    url = form.format(tmp_path / "j.db")
    with storage.open_log(url) as log:
        log.append("s", [budget(1)])
    assert storage.exists(url) and storage.verify(url) == ()
    with Journal.open(url, read_only=True) as journal:
        assert journal.log.place == os.path.realpath(tmp_path / "j.db") and journal.log.kind == "sqlite"


def test_a_relative_url_is_a_relative_path(tmp_path, monkeypatch):
    """Three slashes begin a path relative to the folder one is in, as elsewhere in Python."""
    monkeypatch.chdir(tmp_path)
    storage.open_log("sqlite:///j.db").close()
    assert (tmp_path / "j.db").is_file()


@pytest.mark.parametrize("url", ["memory:", ":memory:"])
def test_a_log_in_memory(url):
    """`memory:` is a new log each time; it verifies, and leaves no file."""
    with storage.open_log(url) as log, storage.open_log(url) as other:
        log.append("s", [budget(1)])
        assert log.kind == "memory" and other.heads() == () and storage.verify(log) == ()


def test_an_unknown_scheme_is_refused():
    """A storage that is not there is wrong usage, told with those that are."""
    with pytest.raises(UsageError, match="no storage is called 'redis'") as caught:
        storage.open_log("redis://host/1")
    assert "sqlite:///PATH, memory:" in caught.value.hint


@pytest.mark.parametrize("url", ["sqlite://host/j.db", "sqlite:///", "sqlite://"])
def test_a_url_without_a_file_is_refused(url):
    """SQLite has no host, and a URL of it names a file."""
    with pytest.raises(UsageError, match="names no journal"):
        storage.open_log(url)


def test_a_log_in_memory_cannot_be_what_outlives_it(tmp_path):
    """To verify, copy or only read a new log in memory is refused, not done for nothing."""
    for verb in (storage.verify, storage.exists):
        with pytest.raises(MissingCapability, match="the storage memory"):
            verb("memory:")
    with pytest.raises(MissingCapability, match="backup"):
        storage.backup("memory:", tmp_path / "copy.db")
    with pytest.raises(UsageError, match="nothing to read"):
        storage.open_log("memory:", read_only=True)
    with pytest.raises(UnreadableInput):
        storage.verify(tmp_path / "none.db")
