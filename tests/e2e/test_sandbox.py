"""What a hostile repository, and a hostile program in the place of Kustomize, can do: nothing but fail with a clear error.

The repositories go through the real programs. The program is static C that tries what a stolen Kustomize would: by system calls, since
that is where it is stopped.
"""
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import tarfile

import pytest

from harness import paths
from harness.mooring import config_map
from test_render_kustomize import GITMOOR, write

PATH = f"{os.path.dirname(paths.control_plane('kustomize'))}:{os.environ['PATH']}"
DIFFER = paths.gitmoor_bin() / "gitmoor-differ"
CHART = "apiVersion: v2\nname: shop\nversion: 1.0.0\n"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n"
OUTSIDE = "leads out of the repository"


def render(folder, path="app", environment=None):
    return subprocess.run([GITMOOR, "render", "-o", "json", path], capture_output=True, text=True, cwd=folder, check=False, timeout=120,
                          env={**os.environ, "PATH": PATH, "SECRET_TOKEN": "hunter2", **(environment or {})})


def tree(folder, files):
    """As write(), and values that start with "->" are symbolic links."""
    links = {name: text[2:] for name, text in files.items() if isinstance(text, str) and text.startswith("->")}
    write(folder, {name: text for name, text in files.items() if name not in links})
    for name, target in links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    return folder


def refused(done, *words):
    assert done.returncode == 1 and done.stdout == "", done
    for word in words:
        assert word in done.stderr, done.stderr
    assert "root:x:" not in done.stderr and "hunter2" not in done.stderr


# ------------------------------------------------------------------------------- repositories

def kustomization(text, **files):
    return {"app/kustomization.yaml": text, **{f"app/{name}": content for name, content in files.items()}}


PLUGIN = "apiVersion: someteam.example.com/v1\nkind: Steal\nmetadata:\n  name: s\n"
FUNCTION = "apiVersion: builtin\nkind: Steal\nmetadata:\n  name: s\n  annotations:\n    config.kubernetes.io/function: |\n      %s\n"
REPOSITORIES = {
    "a link to a directory outside": (kustomization("resources:\n- linked\n", linked="->../../outside"), ["app/kustomization.yaml:2", OUTSIDE]),
    "a link to a file outside": (kustomization("resources: [p]\n", p="->/etc/passwd"), ["app/kustomization.yaml:1", OUTSIDE]),
    "a link within that leads on outside": (kustomization("resources: [p]\n", p="->q", q="->../../outside/secret.yaml"), [OUTSIDE]),
    "a link that goes round": (kustomization("resources: [p]\n", p="->q", q="->p"), ["loop"]),
    "a path of ..": (kustomization("namePrefix: a-\nresources:\n- ../../outside\n"), ["app/kustomization.yaml:3", OUTSIDE]),
    "an absolute path": (kustomization("patches: [{path: /etc/passwd}]\n"), ["app/kustomization.yaml:1", OUTSIDE]),
    "an absolute path in a generator": (kustomization("secretGenerator: [{name: s, files: [p=/etc/shadow]}]\n"), [OUTSIDE]),
    "a file of another directory of the repository": (
        {**kustomization("configMapGenerator: [{name: s, files: [../other/x]}]\n"), "other/x": "y"}, ["is not in or below"]),
    "a plugin that is a program": (kustomization("generators: [g.yaml]\n", **{"g.yaml": PLUGIN}), ["app/g.yaml:2", "never executed"]),
    "a plugin in place": (kustomization("transformers:\n- |\n  " + PLUGIN.replace("\n", "\n  ").rstrip() + "\n"), ["never executed"]),
    "a function that is executed": (kustomization("generators: [g.yaml]\n", **{"g.yaml": FUNCTION % "exec: {path: ./steal.sh}", "steal.sh": "#!/bin/sh\n"}),
                                    ["app/g.yaml:2", "never executed"]),
    "a function in a container": (kustomization("validators: [g.yaml]\n", **{"g.yaml": FUNCTION % "container: {image: example.org/steal}"}), ["never executed"]),
    "a remote base over HTTPS": (kustomization("resources:\n- https://example.org/base.yaml\n"), ["app/kustomization.yaml:2", "nothing is fetched"]),
    "a remote base over Git": (kustomization("bases: ['git@example.org:a/b.git//c?ref=main']\n"), ["nothing is fetched"]),
    "a remote base by its short name": (kustomization("components: [github.com/a/b//c]\n"), ["nothing is fetched"]),
    "a remote base by a getter's prefix": (kustomization("resources: ['git::ssh://git@example.org/a']\n"), ["nothing is fetched"]),
    "a remote base by a host in capitals": (kustomization("resources: [GITHUB.com/a/b]\n"), ["nothing is fetched"]),
    "a remote base by its ending": (kustomization("resources: [example.org/a/b.git]\n"), ["nothing is fetched"]),
    "a remote base by a query": (kustomization("resources: ['example.org/a/b//c?timeout=5&ref=x']\n"), ["nothing is fetched"]),
    "a base in a file URL": (kustomization("resources: ['file:///etc']\n"), ["nothing is fetched"]),
    "a remote schema": (kustomization("openapi: {path: 'https://example.org/s.json'}\n"), ["nothing is fetched"]),
    "a remote file of a generator": (kustomization("configMapGenerator: [{name: c, files: ['k=https://example.org/x']}]\n"), ["nothing is fetched"]),
    "a remote plugin": (kustomization("transformers: ['https://example.org/x.yaml']\n"), ["nothing is fetched"]),
    "a remote patch": (kustomization("patches: [{path: 'http://169.254.169.254/latest/meta-data'}]\n"), ["nothing is fetched"]),
    "a chart that Kustomize would fetch": (kustomization("helmCharts: [{name: x, repo: 'https://example.org'}]\n"), ["helmCharts is refused"]),
    "a chart that is a link outside": ({"app/Chart.yaml": CHART, "app/templates": "->../../outside"}, ["app/templates", OUTSIDE]),
    "a chart that would be fetched": ({"app/Chart.yaml": CHART + "dependencies: [{name: x, version: 1.0.0, repository: 'https://example.org'}]\n"},
                                      ["app/Chart.yaml: helm:", "charts/"]),
    "aliases that multiply": (kustomization("a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9))), ["app/kustomization.yaml:"]),
    "values whose aliases multiply": ({"app/Chart.yaml": CHART, "app/values.yaml": "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)), "app/templates/a.yaml": MAP}, ["helm:"]),
    "a template that calls itself": ({"app/Chart.yaml": CHART, "app/templates/a.yaml": '{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}'},
                                     ["app/templates/a.yaml", "helm:"]),
}


@pytest.mark.parametrize("case", REPOSITORIES)
def test_a_hostile_repository_is_refused(tmp_path, case):
    files, words = REPOSITORIES[case]
    write(tmp_path / "outside", {"kustomization.yaml": "resources: [secret.yaml]\n", "secret.yaml": config_map("secret", token="hunter2")})
    refused(render(tree(tmp_path / "repository", files)), *words)


def test_a_chart_sees_neither_files_nor_environment_nor_network(tmp_path):
    """What templates can ask for is answered with nothing."""
    (tmp_path / "secret.txt").write_text("hunter2")
    tree(tmp_path / "repository", {"app/Chart.yaml": CHART, "app/templates/a.yaml": MAP + "".join(
        f"  {name}: {{{{ {call} | quote }}}}\n" for name, call in {
            "above": '.Files.Get "../../secret.txt"', "absolute": '.Files.Get "/etc/passwd"', "every": '.Files.Glob "/**" | toYaml',
            "process": '.Files.Get "/proc/self/environ"', "host": 'getHostByName "localhost"',
            "objects": 'lookup "v1" "Secret" "" "" | toJson'}.items())})
    done = render(tmp_path / "repository")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    assert data.pop("objects") == "{}" and data.pop("every").strip() in ("", "{}")
    assert set(data.values()) == {""}
    for call in ('env "SECRET_TOKEN"', 'expandenv "$SECRET_TOKEN"'):
        tree(tmp_path / call[:3], {"app/Chart.yaml": CHART, "app/templates/a.yaml": f"{MAP}  x: {{{{ {call} }}}}\n"})
        refused(render(tmp_path / call[:3]), "not defined")


def packed(name, content, member_name=None):
    """charts/NAME-0.1.0.tgz with one more member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in ((f"{name}/Chart.yaml", f"apiVersion: v2\nname: {name}\nversion: 0.1.0\n".encode()), (member_name or f"{name}/x", content)):
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue())


@pytest.mark.parametrize("content, member, word", [
    (b"x", "../../../../escape.txt", "illegal"), (b"x", "/escape.txt", "chart"), (b"\0" * (300 << 20), None, "maximum")],
    ids=["a path of ..", "an absolute path", "a bomb"])
def test_a_packed_dependency_stays_inside(tmp_path, content, member, word):
    tree(tmp_path, {"app/Chart.yaml": CHART + "dependencies: [{name: db, version: 0.1.0}]\n", "app/templates/a.yaml": MAP})
    (tmp_path / "app/charts").mkdir()
    (tmp_path / "app/charts/db-0.1.0.tgz").write_bytes(packed("db", content, member))
    done = render(tmp_path)
    assert not list(tmp_path.rglob("escape.txt"))
    if done.returncode != 0:
        refused(done, word)
    else:
        assert content == b"x", "the bomb was read"


def test_a_file_of_ten_gigabytes(tmp_path):
    tree(tmp_path, {"app/Chart.yaml": CHART, "app/templates/a.yaml": MAP})
    with open(tmp_path / "app/values.yaml", "wb") as file:
        file.truncate(10 << 30)
    refused(render(tmp_path), "app/values.yaml has 10737418240 bytes; the limit is 8388608")


# ------------------------------------------------------------------------------- limits, as the worker keeps them

def worker(folder, path, program_folder=None, **limits):
    """One run of the differ's worker on what is in `folder`: the head of the application's answer, and its objects."""
    ((head, objects),) = worker_run(folder, [path], program_folder, **limits)
    return head, objects


def worker_run(folder, applications, program_folder=None, look=False, **limits):
    git = ["git", "-C", folder, "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    pack = folder.parent / "x.pack"
    with open(pack, "wb") as out:
        subprocess.run([*git, "pack-objects", "-q", "--revs", "--stdout"], input=f"{commit}\n".encode(), stdout=out, check=True)
    request = {"repository": str(folder.parent / "objects.git"), "pack": str(pack), "commit": commit, "revision": f"main@sha1:{commit}",
               "limits": limits, "applications": [{"key": f"ns/{path}", "path": path, "renderKey": ""} for path in applications],
               **({"tidy": True} if look else {"build": "3"})}
    done = subprocess.run([DIFFER, "worker"], input=json.dumps(request), capture_output=True, text=True, check=False, timeout=120,
                          env={"PATH": f"{program_folder}:{PATH}" if program_folder else PATH, "SECRET_TOKEN": "hunter2"})
    assert done.returncode == 0, done.stderr
    assert not list((folder.parent / "objects.git").glob("build/*")), "the copy is removed"
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["ok"], lines[0]
    answers = []
    for line in lines[1:]:
        if "application" in line:
            answers.append((line, []))
        elif "kind" in line:
            answers[-1][1].append(line)
    return answers


def test_several_are_built_and_answered_in_turn(tmp_path):
    files = {"plain/a.yaml": config_map("plain"), "broken/kustomization.yaml": "resources: [none.yaml]\n",
             "chart/Chart.yaml": CHART, "chart/templates/a.yaml": MAP.replace("name: a", "name: chart")}
    for number in range(8):
        files |= {f"k{number}/kustomization.yaml": f"resources: [a.yaml]\nnameSuffix: '-{number}'\n", f"k{number}/a.yaml": config_map("k")}
    order = ["k0", "k1", "plain", "broken", "k2", "k3", "chart", *(f"k{number}" for number in range(4, 8))]
    answers = worker_run(tree(tmp_path / "repository", files), order)
    assert [head["application"] for head, _ in answers] == [f"ns/{path}" for path in order]
    names = {head["application"]: [item["metadata"]["name"] for item in objects] for head, objects in answers}
    assert not [head for head, _ in answers if head["errors"] and head["application"] != "ns/broken"]
    assert names == {f"ns/{path}": [] if path == "broken" else [path.replace("k", "k-") if path.startswith("k") else path] for path in order}
    assert [head["application"] for head, _ in answers if head["errors"]] == ["ns/broken"]


def test_a_worker_that_was_killed_leaves_nothing_behind(tmp_path):
    folder = tree(tmp_path / "repository", {"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": config_map("a")})
    left = tmp_path / "objects.git/build/7/tree"
    worker(folder, "app")
    left.mkdir(parents=True)
    (left / "a.yaml").write_text("left")
    (folder / "more").write_text("x")
    head, _ = worker(folder, "app", look=True)  # which sees that the folder is gone
    assert head["deferred"]


def messages(head):
    return " | ".join(error["message"] for error in head["errors"])


LOOP = '{{ range until 100000 }}{{ range until 100000 }}%s{{ end }}{{ end }}'
LIMITS = {
    "endless time": (LOOP % "", {"buildTimeout": 1000}, "helm did not finish within 1000 ms and was ended"),
    "endless memory": ('{{ $s := repeat 1000000 "xxxxxxxxxx" }}{{ range until 1000 }}{{ $s = printf "%s%s" $s $s }}{{ end }}',
                       {"memory": 256 << 20}, "helm needed more than 256 MiB of memory and was ended"),
}


@pytest.mark.parametrize("case", LIMITS)
def test_what_a_chart_takes_is_bounded(tmp_path, case):
    text, limits, why = LIMITS[case]
    folder = tree(tmp_path / "repository", {"app/Chart.yaml": CHART, "app/templates/a.yaml": text})
    head, objects = worker(folder, "app", **limits)
    assert why in messages(head) and objects == [] and head["renderKey"], head


# ------------------------------------------------------------------------------- a hostile program

HOSTILE = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static int reads(const char *path) { return open(path, O_RDONLY) < 0 ? errno : 0; }
static int writes(const char *path) { return open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) < 0 ? errno : 0; }
static int lists(const char *path) { return opendir(path) ? 0 : errno; }
static int of(long result) { return result < 0 ? errno : 0; }
static int variables(void)
{
    int count = 0;
    for (char **each = environ; *each; each++) {
        count += strncmp(*each, "GO", 2) != 0 && strncmp(*each, "HELM_", 5) != 0;
    }
    return count;
}
static int descriptors(void)
{
    int count = 0;
    for (int fd = 3; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}
static int executes(void)
{
    char *argv[] = {"sh", "-c", "true", NULL};
    execve("/bin/sh", argv, environ);
    return errno;
}
static int raises(void)
{
    struct rlimit limit = {1 << 20, RLIM_INFINITY};
    return of(setrlimit(RLIMIT_DATA, &limit));
}
static int anonymous_program(void)
{
    return of(syscall(SYS_memfd_create, "x", 0));
}
static void try(const char *name, int number) { printf("  %s: \"%d\"\n", name, number); }
int main(int argc, char **argv)
{
    const char *mode = "MODE";
    if (!strcmp(mode, "output")) for (;;) printf("# endless\n");
    if (!strcmp(mode, "time")) for (;;) { }
    if (!strcmp(mode, "memory")) for (;;) { char *p = malloc(1 << 20); if (!p) { fprintf(stderr, "out of memory\n"); return 1; } memset(p, 1, 1 << 20); }
    if (!strcmp(mode, "sleep")) for (;;) pause();
    if (!strcmp(mode, "crash")) abort();
    if (!strcmp(mode, "words")) { for (int i = 0; i < 100000; i++) fprintf(stderr, "\033[31mword "); return 1; }
    if (!strcmp(mode, "bytes")) { fprintf(stderr, "no text: \377\376 \303\274 \300\200\n"); return 1; }
    if (!strcmp(mode, "umlauts")) { for (int i = 0; i < 5000; i++) fprintf(stderr, "\303\274\342\202\254"); return 1; }
    if (!strcmp(mode, "bomb")) { int forked = 0; for (int i = 0; i < 1000; i++) { pid_t pid = fork(); if (pid == 0) for (;;) pause(); forked += pid > 0; }
        printf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {forked: \"%d\"}\n", forked); return 0; }
    printf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n");
    try("descriptors", descriptors());
    try("own-file", reads("app/kustomization.yaml"));
    try("password-file", reads("/etc/passwd"));
    try("root-directory", lists("/"));
    try("temporary-files", lists("/tmp"));
    try("repository-objects", lists("DATABASE"));
    try("environment-of-parent", reads("PROC_PARENT/environ"));
    try("memory-of-parent", reads("PROC_PARENT/mem"));
    try("own-environment-file", reads("/proc/self/environ"));
    try("processes", lists("/proc"));
    try("kernel", reads("/proc/kallsyms"));
    try("devices", lists("/dev"));
    try("service-account", lists("/var/run"));
    try("writes-copy", writes("app/kustomization.yaml"));
    try("writes-new", writes("new"));
    try("writes-temporary", writes("/tmp/gitmoor-escape"));
    try("removes", of(unlink("app/kustomization.yaml")));
    try("renames", of(rename("app", "other")));
    try("links", of(symlink("/etc/passwd", "linked")));
    try("makes-directory", of(mkdir("d", 0700)));
    try("changes-mode", of(chmod("app/kustomization.yaml", 0777)));
    try("changes-times", of(utimensat(AT_FDCWD, "app/kustomization.yaml", NULL, 0)));
    try("truncates", of(truncate("app/kustomization.yaml", 0)));
    try("socket-inet", of(socket(AF_INET, SOCK_STREAM, 0)));
    try("socket-inet6-udp", of(socket(AF_INET6, SOCK_DGRAM, 0)));
    try("socket-unix", of(socket(AF_UNIX, SOCK_STREAM, 0)));
    try("socket-netlink", of(socket(AF_NETLINK, SOCK_RAW, 0)));
    try("socket-raw", of(socket(AF_PACKET, SOCK_RAW, 0)));
    try("ring", of(syscall(SYS_io_uring_setup, 1, &(struct io_uring_params){0})));
    try("forks", of(fork()));
    try("clones", of(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)));
    try("executes", executes());
    try("kills-parent", of(kill(getppid(), SIGKILL)));
    try("kills-all", of(kill(-1, SIGKILL)));
    try("kills-init", of(syscall(SYS_tgkill, 1, 1, SIGKILL)));
    try("queues-signal", of(syscall(SYS_rt_sigqueueinfo, getppid(), SIGTERM, NULL)));
    try("traces-parent", of(ptrace(PTRACE_ATTACH, getppid(), 0, 0)));
    try("reads-parent", of(syscall(SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0)));
    try("namespaces", of(unshare(CLONE_NEWUSER)));
    try("mounts", of(mount("none", "/", "tmpfs", 0, NULL)));
    try("roots", of(chroot("/")));
    try("programs-kernel", of(syscall(SYS_bpf, 0, NULL, 0)));
    try("faults", of(syscall(SYS_userfaultfd, 0)));
    try("keys", of(syscall(SYS_keyctl, 0, 0)));
    try("shares-memory", of(syscall(SYS_shmget, 0, 4096, 01600)));
    try("anonymous-program", anonymous_program());
    try("raises-limits", getuid() == 0 ? EPERM : raises());
    try("limits-parent", of(syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, &(struct rlimit){0, 0}, NULL)));
    try("regains-privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? EPERM : 0);
    try("variables", variables());
    return 0;
}
"""
ALLOWED = {"own-file": "0", "variables": "0", "descriptors": "0"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """hostile(MODE) -> a folder with such a program called kustomize."""
    def make(mode, database="/var/lib"):
        folder = tmp_path_factory.mktemp("hostile")
        text = HOSTILE.replace('"MODE"', f'"{mode}"').replace("DATABASE", str(database)).replace("PROC_PARENT", f"/proc/{os.getpid()}")
        subprocess.run(["cc", "-x", "c", "-O1", "-w", "-static", "-o", str(folder / "kustomize"), "-"], input=text, text=True, check=True)
        return folder
    return make


def overlay(folder):
    return tree(folder, {"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": config_map("a")})


def assert_nothing_works(data):
    assert len(data) > 45
    worked = {name: number for name, number in data.items() if number != ALLOWED.get(name) and (name in ALLOWED or number not in ("1", "13"))}
    assert not worked, "neither EPERM nor EACCES, or more than there should be"


def test_a_hostile_program_can_do_nothing(tmp_path, hostile):
    """In the command line's sandbox, as whoever runs the tests (root too)."""
    done = render(overlay(tmp_path), environment={"PATH": f"{hostile('everything')}:{PATH}"})
    assert (done.returncode, done.stderr) == (0, "")
    assert_nothing_works(json.loads(done.stdout)["data"])
    assert not os.path.exists("/tmp/gitmoor-escape")


def test_nor_can_it_in_the_worker(tmp_path, hostile):
    folder = overlay(tmp_path / "repository")
    head, lines = worker(folder, "app", hostile("everything", tmp_path / "objects.git"))
    assert head["errors"] == []
    assert_nothing_works(lines[0]["data"])


def test_nor_as_a_user_without_any_right(tmp_path, hostile):
    """As in a Pod that is held to the restricted standard: another user, no capability."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user; the tests above ran without rights already")
    folder = overlay(tmp_path / "repository")
    program = hostile("everything")
    for path in (program, folder, *folder.rglob("*"), *tmp_path.parents, tmp_path):
        if path.stat().st_mode & 0o055 != 0o055 and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    command = ["setpriv", "--reuid=65532", "--regid=65532", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
               GITMOOR, "render", "-o", "json", "--root", str(folder), "app"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, env={"PATH": f"{program}:/usr/bin:/bin", "TMPDIR": "/tmp"})
    assert (done.returncode, done.stderr) == (0, "")
    assert_nothing_works(json.loads(done.stdout)["data"])


def test_a_fork_bomb_makes_no_process(tmp_path, hostile):
    head, lines = worker(overlay(tmp_path / "repository"), "app", hostile("bomb"))
    assert head["errors"] == [] and lines[0]["data"] == {"forked": "0"}


PROGRAMS = {
    "output": ({}, "kustomize wrote more than 67108864 bytes and was ended"),
    "time": ({"buildTimeout": 700}, "kustomize did not finish within 700 ms and was ended"),
    "sleep": ({"buildTimeout": 700}, "kustomize did not finish within 700 ms and was ended"),
    "memory": ({"memory": 100 << 20}, "kustomize needed more than 100 MiB of memory and was ended"),
    "crash": ({}, "kustomize died of signal 6"),
    "words": ({}, "word"),
    "bytes": ({}, "no text: ??"),
    "umlauts": ({}, "ü€ü€"),
}


@pytest.mark.parametrize("mode", PROGRAMS)
def test_a_program_that_does_not_end_is_ended(tmp_path, hostile, mode):
    limits, why = PROGRAMS[mode]
    head, objects = worker(overlay(tmp_path / "repository"), "app", hostile(mode), **limits)
    assert why in messages(head) and objects == [] and head["renderKey"]
    assert len(messages(head)) < 2500 and not re.search(r"[\x00-\x09\x0b-\x1f]", messages(head))


def test_without_the_program_the_error_says_so_and_one_beside_is_found(tmp_path):
    alone = tmp_path / "bin" / "gitmoor"
    alone.parent.mkdir()
    shutil.copy(GITMOOR, alone)
    overlay(tmp_path / "repository")

    def render_alone():
        return subprocess.run([alone, "render", "-o", "json", "app"], capture_output=True, text=True, cwd=tmp_path / "repository",
                              check=False, timeout=120, env={"PATH": "/nonexistent"})
    refused(render_alone(), "kustomize", "no program of that name on the PATH, nor beside")
    (alone.parent / "kustomize").symlink_to(shutil.which("kustomize", path=PATH))
    done = render_alone()
    assert done.returncode == 0 and done.stdout, done.stderr
