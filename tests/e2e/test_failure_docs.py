"""docs/failure-modes.md says what the tests check: the table of rows there is the one here, and its tests exist."""
import re
import subprocess
import sys

from harness import paths
from harness.failures import COLUMNS, CONVERGED, DOCUMENT, ROWS

FILES = ("tests/cluster/test_fail.py", "tests/e2e/test_kill.py")


def tables():
    """The tables of the document: lists of lines, each a list of cells."""
    found, inside = [], False
    for line in DOCUMENT.read_text().splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        if not inside:
            found.append([])
        inside = True
        found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return [[table[0], *table[2:]] for table in found]


def table(head):
    return next(rows[1:] for rows in tables() if rows[0][0] == head)


def test_every_cell_says_what_is_checked():
    told = {line[0]: dict(zip(COLUMNS, line[1:])) for line in table("what fails")}
    assert told == ROWS


def test_every_test_that_is_named_exists():
    done = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *FILES],
                          cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.split("::", 1)[1] for line in done.stdout.splitlines() if "::" in line}
    named = [line[-1].strip("`") for line in table("what fails")]
    assert not set(named) - collected
    assert len(set(named)) == len(ROWS), "each row has a test of its own"


def test_every_row_was_measured_and_converged():
    measured = {line[0]: line[1:] for line in table("what failed")}
    assert set(measured) == set(ROWS)
    for name, (rounds, median, most) in measured.items():
        assert int(rounds) >= 20, name
        assert re.fullmatch(r"\d+\.\d", median) and float(median) <= float(most) <= CONVERGED, name
