"""Shell commands: which only read, which may write, and why none slips through."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clawvm_es.observe.programs import PROGRAMS
from clawvm_es.observe.shell import COMMAND_CHARS_MAX, Effect, effect

READS_FILES = [
    "ls -la src",
    "cd /w && git log --oneline -5 | head -3",
    "grep -rn 'a > b; rm x' . 2>/dev/null | sort | uniq -c",
    'git -C /x diff main...HEAD --stat 2>&1 || echo "none & more"',
    "find . -name '*.py' | wc -l",
    "sed -n '10,20p' file.py",
    "sed -e 's/a;b/w c/g' -e '/x/d' f | sed 's|/|\\||'",
    "awk -F: '{print $1}' /etc/passwd",
    "LC_ALL=C sort -t: -k2,2 -to names.txt",
    "cat a \\\n b",
    "cat <(ls) <<< x",
    "for f in a b; do cat $f; done",
    "if [ -f x ]; then head -n 3 x; elif [[ -d y ]]; then ls y; else echo no; fi",
    "(cd src && ls) > /dev/null 2>&1",
    'f=src/x.py; cat "$f"',
    "cat <<'EOF' | grep rm\nrm x > y\nEOF\n",
    "find . -name a -print0 | xargs -0 grep -l b",
    "timeout 5 /usr/bin/grep -c x y",
    "GIT_PAGER=cat git show HEAD:x",
    "git branch -a; git remote -v; git stash list; git config --get user.name",
    "echo $(git rev-parse HEAD)",
    "command -v python",
    "uniq -c in",
    "tree -L 2 -a",
    "ls | while true; do echo x; done",
]
READS_WORLD = ["ps aux | grep python", "date +%s", "df -h && ls", "env", "id"]
MAY_WRITE = [
    "",
    "rm x",
    "ls > out",
    "ls >> out",
    "ls &> out",
    "ls >| out",
    "ls; make",
    "cat $(rm x)",
    "echo `rm x`",
    "cat <(rm x)",
    "ls | tee >(rm x)",
    "find . -delete",
    "find . -name '*.o' -exec rm {} +",
    "find . -fprintf out %p",
    "sed -i 's/a/b/' file",
    "sed -ni p file",
    "sed -n 'w out' file",
    "sed 's/a/b/w out' file",
    "sed 's/a/b/e' file",
    "sed -f script file",
    "awk '{print > \"out\"}' in",
    "awk '{system(\"rm x\")}' in",
    "awk -f prog in",
    "sort -o names names",
    "sort -ro out in",
    "sort -uro out in",
    "sort --outp=x in",
    "sort --compress-prog=x in",
    "sort $options in",
    "sort $'-o' out",
    "sort *",
    "sort {-o,x}",
    "tree -ao out .",
    "tree -R -H . -L 1",
    "GIT_EXTERNAL_DIFF=x git diff",
    "GIT_PAGER=x git log",
    "PATH=. ls",
    "export PATH=.; ls",
    "LD_PRELOAD=x.so ls",
    "git -c core.pager=x log",
    "git --exec-path=. log",
    "git commit -m x",
    "git branch new",
    "git config user.name x",
    "git diff --output=x",
    "git diff --outpu x",
    "git grep -Ovi x",
    "rg --pre ./x y",
    "ls & rm x",
    "echo \\'; rm x; echo \\'",
    'echo "unclosed; rm x',
    "uniq in out",
    "xxd -r in out",
    "for f in *; do rm $f; done",
    "ls() { rm x; }; ls",
    "alias ls=rm; ls x",
    "eval 'rm x'",
    "source x",
    ". x",
    "$CMD x",
    "./ls x",
    "/tmp/ls x",
    "xargs rm",
    "xargs sort",
    "xargs -I{} sh -c 'rm {}'",
    "timeout 5 rm x",
    "timeout 5",
    "date 010100002000",
    "date -s tomorrow",
    "hostname new",
    "cat < /dev/tcp/host/80",
    "X=1",
    "a | ) b",
    "ls; ${x@P}",
    "fd x -x rm",
    "base64 -o out in",
]


@pytest.mark.parametrize("command", READS_FILES)
def test_commands_that_read_files(command: str) -> None:
    """Listings, searches and git's reading commands change nothing, whatever the shell's syntax around them."""
    assert effect(command) is Effect.READS_FILES


@pytest.mark.parametrize("command", READS_WORLD)
def test_commands_that_read_what_changes_by_itself(command: str) -> None:
    """Processes and clocks are read, but the output is not the same the next time."""
    assert effect(command) is Effect.READS_WORLD


@pytest.mark.parametrize("command", MAY_WRITE)
def test_commands_that_may_write(command: str) -> None:
    """An option, a redirection, a variable or a construct that can write makes the whole line a writer."""
    assert effect(command) is Effect.MAY_WRITE


@given(st.text(max_size=60))
@example("~\x97b:{\U00108712\x08h")
@example("\ud800 {\0")
def test_any_text_has_an_effect(command: str) -> None:
    """No text raises, and the answer is the same again."""
    assert effect(command) is effect(command)


@given(
    st.sampled_from(sorted(PROGRAMS)), st.sampled_from(["; rm x", " | rm", " > out", " && ./x", " $(rm x)", "\nrm x"])
)
def test_a_writer_anywhere_makes_the_line_a_writer(program: str, tail: str) -> None:
    """LAW-SHELL-READ-1: no reading program hides what comes after it."""
    assert effect(f"{program} a{tail}") is Effect.MAY_WRITE


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("lower=1 ls", Effect.MAY_WRITE),
        ("lower=1; ls", Effect.READS_FILES),
        ("UPPER=1; ls", Effect.MAY_WRITE),
        ("Mixed_1=1; ls", Effect.READS_FILES),
        ("lower+=1; ls", Effect.READS_FILES),
        ("LC_ALL+=C ls", Effect.READS_FILES),
        ("TZ=x date", Effect.READS_WORLD),
        ("PAGER=cat git log", Effect.READS_FILES),
        ("PAGER='cat' git log", Effect.READS_FILES),
        ("PAGER= git log", Effect.MAY_WRITE),
        ("PAGER=less git log", Effect.MAY_WRITE),
        ("PAGER=$x git log", Effect.MAY_WRITE),
        ("ls 2>/dev/stderr >/dev/stdout 1>&2", Effect.READS_FILES),
        ("ls >/dev/sda", Effect.MAY_WRITE),
        ("ls > $x", Effect.MAY_WRITE),
        ("cat < $x", Effect.READS_FILES),
        ("cat < in", Effect.READS_FILES),
        ("cat < /dev/sda", Effect.MAY_WRITE),
        ("cat <> in", Effect.MAY_WRITE),
        ("command -V ls", Effect.READS_FILES),
        ("command ls", Effect.MAY_WRITE),
        ("command", Effect.MAY_WRITE),
        ("env ls", Effect.MAY_WRITE),
        ("/bin/ls", Effect.READS_FILES),
        ("/usr/local/bin/ls", Effect.READS_FILES),
        ("/opt/homebrew/bin/ls", Effect.READS_FILES),
        ("/usr/bin/bin/ls", Effect.MAY_WRITE),
        ("bin/ls", Effect.MAY_WRITE),
        ("/usr/bin/sort -o x", Effect.MAY_WRITE),
        ("/usr/bin/sort x", Effect.READS_FILES),
        ("gawk '{print}' x; mawk '{print}' x", Effect.READS_FILES),
        ("[[ -f x ]]", Effect.READS_FILES),
        ("sort a\\ b", Effect.READS_FILES),
        ("sort \\-o b", Effect.MAY_WRITE),
        ("sort '-o' b", Effect.MAY_WRITE),
        ('sort "-o" b', Effect.MAY_WRITE),
        ('sort "-\\\no" b', Effect.MAY_WRITE),
        ("sort -'o' b", Effect.MAY_WRITE),
        ('sort -"$x" b', Effect.MAY_WRITE),
        ("sort a$x", Effect.MAY_WRITE),
        ("sort a*", Effect.READS_FILES),
        ("sort [ab]", Effect.MAY_WRITE),
        ("sort a{b}", Effect.READS_FILES),
        ("sort a{1..3}", Effect.MAY_WRITE),
        ("sort {x,y}'z'", Effect.MAY_WRITE),
        ("cat $x *", Effect.READS_FILES),
        ("ls; date", Effect.READS_WORLD),
        ("date; ls", Effect.READS_WORLD),
        ("lower=1", Effect.MAY_WRITE),
        ("ls é ~ \u00e9", Effect.READS_FILES),
        ("ls \0", Effect.MAY_WRITE),
        ("echo ${x@P}", Effect.MAY_WRITE),
        ("echo ${x:-y}", Effect.READS_FILES),
    ],
)
def test_each_row_of_the_table(command: str, found: Effect) -> None:
    """Assignments, redirections, program names and words are judged one by one, as the shell would read them."""
    assert effect(command) is found


def test_wrappers_are_followed_eight_deep() -> None:
    """Eight wrappers around a reader are followed, nine are a doubt."""
    assert effect("nice " * 8 + "ls") is Effect.READS_FILES
    assert effect("nice " * 9 + "ls") is Effect.MAY_WRITE


def test_a_line_that_is_too_long_is_not_parsed() -> None:
    """A command line beyond the bound, and one nested thousands deep, may write."""
    assert effect("ls " + "x" * (COMMAND_CHARS_MAX - 3)) is Effect.READS_FILES
    assert effect("ls " + "x" * (COMMAND_CHARS_MAX - 2)) is Effect.MAY_WRITE
    assert effect("(" * 3_000 + "ls" + ")" * 3_000) is not None
