"""Runs the parts of scripts/test, tells how each went, and sums up. Called by scripts/test, in the root of the source tree.

A part that crashes, hangs, or ends with a failure that its own counts do not show counts as one failure.
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build" / "test-results"
VENV = Path(sys.prefix)
FUZZ_SECONDS = int(os.environ.get("GITMOOR_FUZZ_SECONDS", "30"))
SOAK_SECONDS = int(os.environ.get("GITMOOR_SOAK_SECONDS", "600"))
SANITIZER = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


@dataclass
class Count:
    passed: int = 0
    failed: int = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed


def run(name, command, timeout, env=None, echo=False):
    """Runs it with its output in RESULTS/name.log (and on the terminal too, with echo). Returns the exit status; 124: too long."""
    log = RESULTS / f"{name}.log"
    with open(log, "ab") as out:
        out.write(f"$ {shlex.join(map(str, command))}\n".encode())
        out.flush()
        child = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL,
                                 stdout=None if echo else out, stderr=subprocess.STDOUT,
                                 env={**os.environ, **(env or {})}, start_new_session=True)
        try:
            return child.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 15)
            try:
                child.wait(30)  # to clean up
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, 9)
                child.wait()
            out.write(f"\nended after {timeout} s\n".encode())
            return 124
        except BaseException:
            os.killpg(child.pid, 9)
            raise


def tail(name, lines=60):
    log = RESULTS / f"{name}.log"
    if log.exists():
        print("\n".join("    " + line for line in log.read_text(errors="replace").splitlines()[-lines:]))


def told(name, status, count):
    """Adds the failure that the counts do not show, and prints the log's end if anything failed."""
    if status and not count.failed:
        count.failed += 1
    if count.failed:
        tail(name)
    return count


def build(preset, *targets):
    env = {"CMAKE_C_COMPILER_LAUNCHER": "ccache"} if shutil.which("ccache") else {}
    status = run(f"build-{preset}", ["cmake", "--preset", preset], 300, env)
    chosen = ["--target", *targets] if targets else []
    return status or run(f"build-{preset}", ["cmake", "--build", "--preset", preset, *chosen], 1800, env)


def part_build():
    status = build("dev")
    return told("build-dev", status, Count(passed=0 if status else 1))


def count_ctest(file):
    """Counts cmocka's tests inside each program, and programs of another kind as one."""
    count = Count()
    for case in xml.etree.ElementTree.parse(file).getroot().iter("testcase"):
        output = case.findtext("system-out") or ""
        passed = sum(map(int, re.findall(r"\[  PASSED  \] (\d+) test\(s\)", output)))
        failed = sum(map(int, re.findall(r"\[  FAILED  \] (\d+) test\(s\)", output)))
        bad = case.get("status") not in ("run", "passed") or case.find("failure") is not None
        if bad and not failed:  # a crash, a leak, a time-out
            passed, failed = len(re.findall(r"^\[       OK \]", output, re.MULTILINE)), 1
        if not bad and not passed:
            passed = 1
        count.add(Count(passed, failed))
    return count


def ctest(name, preset, env=None):
    status = build(preset)
    if status:
        return told(f"build-{preset}", status, Count())
    junit = RESULTS / f"{name}.xml"
    status = run(name, ["ctest", "--test-dir", f"build/{preset}", "-j2", "--timeout", "300", "--output-on-failure",
                        "--no-tests=error", "--output-junit", junit], 1800, env)
    return told(name, status, count_ctest(junit) if junit.exists() else Count())


def part_unit():
    return ctest("unit", "dev")


def part_asan():
    return ctest("asan", "asan", SANITIZER)


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def part_layers():
    status = run("layers", [ROOT / "scripts" / "check-layers"], 120)
    count = told("layers", status, Count(passed=0 if status else 1))
    packages = ["openssl", "libcjson", "yaml-0.1", "libcurl", "nanomsg", "libevent_core", "libgit2"]
    flags = subprocess.run(["pkg-config", "--cflags", *packages], capture_output=True, text=True, check=True).stdout.split()
    for header in (name for name in tracked("*.h") if not name.startswith("tests/")):
        status = run("headers", ["cc", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{ROOT}",
                                 *flags, "-x", "c", header], 60)
        if status:
            print(f"    {header} does not compile alone; see {RESULTS / 'headers.log'}")
        count.add(Count(passed=0 if status else 1, failed=1 if status else 0))
    return count


def part_format():
    formatter = VENV / "bin" / "clang-format"
    files = tracked("*.c", "*.h")
    status = run("format", [formatter, "--dry-run", "--Werror", *files], 300)
    return told("format", status, Count(passed=0 if status else 1))


PICKED = []  # -k, and what follows it


def pytest(name, folders, *options, timeout=3000, env=None):
    """Runs the tests of the folders (or files), or those that -k picks, and counts them."""
    junit = RESULTS / f"{name}.xml"
    status = run(name, [VENV / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5",
                        f"--junitxml={junit}", *PICKED, *options, *folders.split()], timeout, env, echo=True)
    count = Count()
    if junit.exists():
        for suite in xml.etree.ElementTree.parse(junit).getroot().iter("testsuite"):
            failed = int(suite.get("failures")) + int(suite.get("errors"))
            count.add(Count(int(suite.get("tests")) - failed - int(suite.get("skipped")), failed))
    if status == 5:
        print(f"    no test was found in {folders}")
    return told(name, status, count)


def part_e2e():
    status = build("release", "test_programs")  # scripts/setup has built the rest
    if status:
        return told("build-release", status, Count())
    # In two processes, which tests/e2e/harness/parallel.py gives their work. The limit is of a test that hangs; deadlines are shorter.
    processes = [] if PICKED else ["-n", "2"]
    return pytest("e2e", "tests/e2e tests/oracle", "--timeout=600", *processes)


def part_soak():
    status = build("release", "test_programs")
    if status:
        return told("build-release", status, Count())
    return pytest("soak", "tests/e2e/test_drift_soak.py", env={"GITMOOR_SOAK_SECONDS": str(SOAK_SECONDS)})


def part_cluster():
    return pytest("cluster", "tests/cluster", "--timeout=900", timeout=3 * 3600)


def part_fail():
    """The rounds of tests/cluster/test_fail.py and tests/e2e/test_kill.py as a measurement, which docs/failure-modes.md then tells."""
    results = RESULTS / "failures.json"
    os.environ["GITMOOR_FAIL_RESULTS"] = str(results)
    os.environ.setdefault("GITMOOR_FAIL_ROUNDS", "20")
    count = pytest("fail-processes", "tests/e2e/test_kill.py", "--timeout=1200", "-k", "not equals")
    count.add(pytest("fail-hooks", "tests/e2e/test_hooks_kill.py", "--timeout=600", env={"GITMOOR_HOOK_KILLS": "all"}))
    count.add(pytest("fail-rollback", "tests/e2e/test_rollback_kill.py", "--timeout=600", env={"GITMOOR_ROLLBACK_KILLS": "all"}))
    count.add(pytest("fail-cluster", "tests/cluster/test_fail.py", timeout=3 * 3600))
    status = run("failure-table", [VENV / "bin" / "python", "scripts/lib/failure_table.py", results], 60) if results.exists() else 1
    count.add(told("failure-table", status, Count()))
    return count


def part_fuzz():
    status = build("fuzz")
    if status:
        return told("build-fuzz", status, Count())
    count = Count()
    for target in sorted((ROOT / "build" / "fuzz" / "tests").glob("fuzz_*")):
        subject = re.sub(r"^fuzz_[a-z]+_", "", target.name)
        found = RESULTS / "fuzz" / subject
        found.mkdir(parents=True, exist_ok=True)
        status = run(target.name, [target, f"-max_total_time={FUZZ_SECONDS}", "-timeout=10", "-rss_limit_mb=2048", "-verbosity=0",
                                   f"-artifact_prefix={RESULTS}/fuzz/{subject}-", found, ROOT / "tests" / "fuzz" / "corpus" / subject],
                     FUZZ_SECONDS + 120, SANITIZER)
        count.add(told(target.name, status, Count(passed=0 if status else 1)))
    return count


PARTS = {"build": part_build, "unit": part_unit, "asan": part_asan, "layers": part_layers, "format": part_format, "e2e": part_e2e,
         "cluster": part_cluster, "fail": part_fail, "fuzz": part_fuzz, "soak": part_soak}


def main(wanted):
    if "-k" in wanted:
        at = wanted.index("-k")
        PICKED.extend(wanted[at:at + 2])
        wanted = wanted[:at] + wanted[at + 2:]
        if len(PICKED) != 2 or not wanted or not set(wanted) <= {"e2e", "cluster"}:
            raise SystemExit("scripts/test: -k WORDS picks tests of the parts e2e and cluster: scripts/test cluster -k install")
    unknown = [word for word in wanted if word not in PARTS]
    if unknown:
        raise SystemExit(f"scripts/test: unknown part {unknown[0]}; there are: {' '.join(PARTS)}")
    wanted = wanted or [name for name in PARTS if name not in ("cluster", "fail", "fuzz", "soak")]
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    total = Count()
    for name in wanted:
        start = time.monotonic()
        print(f"== {name}", flush=True)
        try:
            count = PARTS[name]()
        except Exception as error:  # noqa: BLE001: a broken part is a failure, and the others still run
            print(f"    {name}: {error!r}")
            count = Count(failed=1)
        print(f"   {name}: {count.passed} passed, {count.failed} failed, {time.monotonic() - start:.1f} s", flush=True)
        total.add(count)
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
