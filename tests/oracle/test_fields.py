"""The unit tests compare common/data/fields.c with what the API server's own library says, as it is written in tests/unit/data; this
compares that with what the library says now. Needs Go, which scripts/setup needs too, and its modules (go.mod: those of the API server).
"""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "unit" / "data"
CACHE = Path(os.environ.get("GITMOOR_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gitmoor")


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """The program `fields`, built."""
    found = (shutil.which(name) for name in ("go", "/usr/local/go/bin/go", CACHE / "go" / "bin" / "go"))
    go = next((path for path in found if path), None)
    if not go:
        pytest.skip("there is no Go on this machine")
    program = tmp_path_factory.mktemp("oracle") / "fields"
    for proxy in ({"GOPROXY": "off"}, {}):  # from the cache of modules, if they are in it
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", **proxy}
        try:
            done = subprocess.run([go, "build", "-o", program, "./fields"], cwd=HERE, env=environment, capture_output=True, text=True,
                                  check=False, timeout=200)
        except subprocess.TimeoutExpired:
            pytest.skip("Go's modules cannot be fetched in time")
        if done.returncode == 0:
            return program
    pytest.skip(f"the oracle cannot be built here: {done.stderr.strip()[-300:]}")


@pytest.mark.parametrize("question", ["lost", "paths"])
def test_what_the_library_says_is_what_the_unit_tests_expect(oracle, question):
    said = subprocess.run([oracle, question], capture_output=True, check=True, timeout=100).stdout
    assert said.count(b"\n") >= 300
    assert said == (DATA / f"fields_{question}.jsonl").read_bytes()
