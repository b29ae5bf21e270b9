"""Programs of the shell as data: options, values of options, operands, scripts and wrappers."""

from __future__ import annotations

import pytest

from clawvm_es.observe.programs import PROGRAMS, WRAPPERS, Program, Word, Wrapper, awk, git, sed
from clawvm_es.observe.shell import Effect, effect

TOOL = Program(short="w", long=("write", "wring"), takes="kv", operands=1)


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        ([], True),
        (["a"], True),
        (["a", "b"], False),
        (["-"], True),
        (["-", "-"], False),
        (["--", "-w"], True),
        (["--", "-w", "b"], False),
        (["a", "--", "b"], False),
        (["-w"], False),
        (["-xw"], False),
        (["-kw"], True),
        (["-k", "w", "a"], True),
        (["-k", "w", "a", "b"], False),
        (["-xk", "b", "a"], True),
        (["-kx", "b", "a"], False),
        (["-x", "a"], True),
        (["-k"], True),
        (["--write=x"], False),
        (["--wri"], False),
        (["--wrung"], True),
        (["--read", "a"], True),
        (["+x", "a"], False),
        ([None], False),
        (["a", None], False),
    ],
)
def test_options_and_operands_decide(words: list[Word], reads: bool) -> None:
    """Letters in clusters, values of letters, beginnings of long names, and one operand; never an unknown word."""
    assert TOOL.reads(words) is reads


def test_words_that_begin_with_plus_and_expressions() -> None:
    """A format is no operand where there are formats; expressions are looked for instead of options."""
    assert Program(operands=0, formats=True).reads(["+%s"])
    assert not Program(operands=0).reads(["+%s"])
    find = Program(expressions=("-exec", "-delete"))
    assert find.reads([".", "-name", "-w", "--write"]) and find.reads(["--", "-exec"])
    assert not find.reads([".", "-execdir"]) and not find.reads(["-delete"]) and not find.reads([None])


@pytest.mark.parametrize(
    ("program", "only"),
    [
        (Program(), True),
        (Program(takes="x", stable=False, formats=True), True),
        (Program(short="x"), False),
        (Program(long=("x",)), False),
        (Program(expressions=("-x",)), False),
        (Program(operands=0), False),
    ],
)
def test_a_program_that_nothing_makes_write_takes_any_word(program: Program, only: bool) -> None:
    """Each kind of exception ends that; a word that is not known is then a doubt."""
    assert program.only_reads is only
    assert program.reads([None]) is only


def test_every_exception_of_the_table_holds() -> None:
    """Each letter, long name and expression of each program in the table makes it write, and one operand too many."""
    for name, program in PROGRAMS.items():
        assert all(not program.reads([f"-{letter}"]) for letter in program.short), name
        assert all(not program.reads([f"--{option}"]) for option in program.long), name
        assert all(not program.reads([word]) for word in program.expressions), name
        assert program.reads([]) and all(program.reads([f"-{letter}", "1"]) for letter in program.takes), name
        if program.operands is not None:
            assert program.reads(["x"] * program.operands) and not program.reads(["x"] * (program.operands + 1)), name


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        ([], False),
        (["-C"], False),
        (["-C", "x"], False),
        (["--no-pager", "-P", "-C", "x", "log"], True),
        ([None, "log"], False),
        (["-C", None, "log"], True),
        (["log", "-S", "x"], True),
        (["log", "-O", "x"], False),
        (["status", None], True),
        (["log", None], False),
        (["branch"], True),
        (["branch", "-a", "-v"], True),
        (["branch", "x"], False),
        (["branch", None], False),
        (["remote", "show", "origin"], True),
        (["remote", "add", "origin"], False),
        (["stash"], False),
        (["stash", "list"], True),
        (["tag", "-n5"], True),
        (["worktree", "list", "--porcelain"], True),
        (["config", "user.name"], True),
        (["config", "user.name", "x"], False),
        (["push"], False),
    ],
)
def test_git_commands(words: list[Word], reads: bool) -> None:
    """Options of git itself are passed over; a command reads by the table, or in the forms that list."""
    assert git(words) is reads


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        ([], False),
        (["p"], True),
        (["-n", "p", "w"], True),
        (["w", "p"], False),
        (["-e", "p"], True),
        (["--expression", "p", "w"], True),
        (["-e", "p", "-e", "w x"], False),
        (["-e"], False),
        (["-nE", "--quiet", "--silent", "--regexp-extended", "1,5p;$d"], True),
        (["-i", "p"], False),
        (["-ni", "p"], False),
        (["--in-place", "p"], False),
        ([None], False),
        (["p", None], False),
        ([""], False),
        (["  "], False),
        ([" 2,+3p ; q "], True),
        (["p; w x"], False),
        (["/a/,/b/!d\n=\nn"], True),
        (["s/a/b/gp; y|a|b|"], True),
        (["s/a/b/e"], False),
        (["q5"], True),
    ],
)
def test_sed_scripts(words: list[Word], reads: bool) -> None:
    """The first operand is the script unless options gave one; all of every script must be known to print."""
    assert sed(words) is reads


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        ([], False),
        (["{print}"], True),
        (["{print}", "> x"], True),
        (["-F", ":", "{print}"], True),
        (["-F:", "-vx=1", "-v", "y=2", "{print}"], True),
        (["-F"], False),
        (["-f", "x"], False),
        (["--lint", "{print}"], False),
        ([None], False),
        (["-F", ":", None], False),
        (["{print > x}"], False),
        (["{print | x}"], False),
        (["{getline}"], False),
        (["{close(x)}"], False),
        (["@load x"], False),
    ],
)
def test_awk_programs(words: list[Word], reads: bool) -> None:
    """The first word that is no option is the program; what is after it are files."""
    assert awk(words) is reads


@pytest.mark.parametrize(
    ("wrapper", "words", "inner"),
    [
        (Wrapper(), ["ls", "-l"], ["ls", "-l"]),
        (Wrapper(), [], []),
        (Wrapper(), ["-p", "ls"], ["ls"]),
        (Wrapper(takes="n"), ["-n", "5", "ls"], ["ls"]),
        (Wrapper(takes="n"), ["-n5", "ls"], ["ls"]),
        (Wrapper(takes="n"), ["-n"], []),
        (Wrapper(operands=1), ["5", "ls"], ["ls"]),
        (Wrapper(operands=1), ["5"], []),
        (Wrapper(adds=(None,)), ["ls"], ["ls", None]),
        (Wrapper(adds=(None,)), [], []),
        (Wrapper(), ["--long", "ls"], None),
        (Wrapper(), ["-", "ls"], None),
        (Wrapper(), ["-a.b", "ls"], None),
        (Wrapper(), [None, "ls"], [None, "ls"]),
    ],
)
def test_wrappers_run_the_rest(wrapper: Wrapper, words: list[Word], inner: list[Word] | None) -> None:
    """Options with their values and operands are passed over; a doubt is no command, and nothing left is empty."""
    assert wrapper.inner(words) == inner
    assert words[:1] != [None] or wrapper.inner(words) == words


@pytest.mark.parametrize("name", sorted(WRAPPERS))
def test_a_wrapper_is_as_good_as_what_it_runs(name: str) -> None:
    """Every wrapper of the table passes a reader through, stops a writer, and needs a command."""
    operand = "5 " * WRAPPERS[name].operands
    assert effect(f"{name} {operand}ls") is Effect.READS_FILES
    assert effect(f"{name} {operand}rm") is Effect.MAY_WRITE
    assert effect(f"{name} {operand}") is Effect.MAY_WRITE


def test_the_table_says_what_each_program_takes() -> None:
    """Words that it takes beside its options, formats, and whether what it shows changes by itself."""
    operands = {name: program.operands for name, program in PROGRAMS.items() if program.operands is not None}
    assert operands == {"date": 0, "hostname": 0, "uniq": 1, "xxd": 1}
    assert [name for name, program in PROGRAMS.items() if program.formats] == ["date"]
    changing = "ps df free uptime id whoami groups nproc uname arch printenv pgrep lsof sleep date hostname"
    assert {name for name, program in PROGRAMS.items() if not program.stable} == set(changing.split())
    assert {name: wrapper.operands for name, wrapper in WRAPPERS.items()} == {
        "nice": 0,
        "time": 0,
        "timeout": 1,
        "xargs": 0,
    }
    assert {name: wrapper.adds for name, wrapper in WRAPPERS.items() if wrapper.adds} == {"xargs": (None,)}
