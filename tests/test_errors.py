"""Errors say in one line what, where and what to do, and stay what they are across processes."""

import copy
import inspect
import pickle

import pytest

from clawvm_es import errors
from clawvm_es.errors import AnchorRefused, ClawVMError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ClawVMError)]


def made(kind, hint="do that"):
    """An error of a class, as its callers make it."""
    return kind("key", "went wrong", hint=hint) if kind is AnchorRefused else kind("went wrong", hint=hint)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_of_an_error_ends_with_its_hint(kind):
    """Whoever prints or logs an error sees what to do; message and hint can be had apart."""
    assert str(made(kind)) == "went wrong (do that)"
    assert str(made(kind, hint="")) == "went wrong"
    assert (made(kind).message, made(kind).hint) == ("went wrong", "do that")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy])
def test_an_error_survives_a_pipe_between_processes(kind, again):
    """Class, text, hint, attributes and notes are the same on the other side."""
    error = made(kind)
    error.difference = ("a", 1)
    error.add_note("seen here")
    found = again(error)
    assert type(found) is kind
    assert (str(found), found.args, vars(found)) == (str(error), error.args, vars(error))
