"""failure_table.py RESULTS: writes what the tests of failures measured (GITMOOR_FAIL_RESULTS) into docs/failure-modes.md.

Rows that RESULTS lacks stay as they are, so that a part of the tests can be measured anew.
"""
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness.failures import DOCUMENT, ROWS  # noqa: E402

HEAD = ["| what failed | rounds | median, s | longest, s |", "| --- | --- | --- | --- |"]
BEGIN, END = "<!-- measured: written by scripts/lib/failure_table.py -->\n", "<!-- end of measured -->"


def main(results):
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    held, after = rest.split(END)
    lines = {line.split("|")[1].strip(): line for line in held.splitlines() if re.match(r"\| .*\d", line)}
    for name, told in json.loads(Path(results).read_text()).items():
        lines[name] = f"| {name} | {told['rounds']} | {told['median']} | {told['max']} |"
    DOCUMENT.write_text(before + BEGIN + "\n".join([*HEAD, *(lines[name] for name in ROWS if name in lines)]) + "\n" + END + after)


if __name__ == "__main__":
    main(sys.argv[1])
