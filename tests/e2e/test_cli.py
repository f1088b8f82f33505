"""The command line tool: what needs no cluster, and what talks to one (a control plane of its own, where nobody else writes status)."""
import json
import os
import random
import re
import shlex
import shutil
import subprocess

import pytest

from harness import paths
from harness.api import ApiError
from harness.cluster import Cluster
from harness.waiting import wait_for

GITMOOR = paths.gitmoor_bin() / "gitmoor"


def run(*arguments, stdin=None, cwd=None, env=None):
    return subprocess.run([GITMOOR, *map(str, arguments)], input=stdin, capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, **(env or {})}, check=False)


def config_map(name, **more):
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **more}})


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


# ------------------------------------------------------------------------------- the tool itself

def test_help_and_version_are_answered_on_standard_output():
    for arguments in (["help"], ["--help"], ["-h"], ["help", "render"], ["render", "--help"]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "gitmoor" in done.stdout
    assert run("--version").stdout.startswith("gitmoor ")


VERBS = re.findall(r"^  ([a-z-]+)  ", run("help").stdout, re.M)
PAGES = ["gitmoor.1", "gitmoor-fetcher.8", "gitmoor-differ.8", "gitmoor-applier.8", "gitmoor-admission.8"]


def options_of(text):
    """The lines of --help that begin with an option, without what is said of it."""
    found = re.findall(r"^ {2,6}((?:-\w, )?--[a-z-]+(?: [A-Za-z|.:,]+(?= *\n|  |   ))?)", text, re.M)
    assert len(found) >= 1
    return found


def manual(page):
    """As it was built; without roff's escapes."""
    text = (paths.gitmoor_bin().parent / "man" / page).read_text()
    return text.replace("\\-", "-").replace("\\(dq", '"').replace("\\(aq", "'").replace("\\&", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_here_in_the_manual_and_in_the_documentation(verb):
    assert len(VERBS) > 15
    done = run(verb, "--help")
    assert done.returncode == 0 and f"gitmoor {verb}" in done.stdout and "Exit status: 0: " in done.stdout
    part = manual("gitmoor.1").partition(f'.SS "{verb}"\n')[2].partition("\n.S")[0]
    usage = " ".join(re.match(r"Usage: (.*?)\n\n", done.stdout, re.S).group(1).split())
    assert f'.B "{usage}"' in part
    assert max(map(len, done.stdout.splitlines())) <= 80, "what is no terminal is taken for one of 80 columns"
    for option in options_of(done.stdout):
        assert f'.B "{option}"' in part or option == "-h, --help", option
    page = (paths.ROOT / "docs/cli.md").read_text()
    assert re.search(rf"^### .*\b{verb}\b", page, re.M), "a section"
    assert re.search(rf"^\| .*`{verb}`.* \|$", page, re.M), "a row of the table"
    section = re.search(rf"^### [^\n]*\b{verb}\b.*?(?=^##|\Z)", page, re.M | re.S).group(0)
    words = set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", section))
    common = {"--help", "--namespace", "--kubeconfig", "--context"}
    names = [set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", option)) for option in options_of(done.stdout)]
    assert not [each for each in names if not each & (words | common)], "options that its section does not name"


NEEDS_NO_CLUSTER = ("render", "health", "verify", "review", "completion")
# What makes each verb end with 0, 1 and 2: SHOP stands for an application that is ready, FILES for a folder of manifests.
# Statuses that need more than that are tested where the verb is: None.
STATUSES = {
    "get": ("", "app none", "pods"), "status": ("SHOP", "none", "pod/x"), "check": (None, "-n none", "--timeout soon"),
    "reconcile": ("SHOP", "none", ""), "wait": (None, "none", "SHOP --timeout soon"), "suspend": ("SHOP", "none", "pod/x"),
    "resume": ("SHOP", "none", ""), "diff": (None, None, "SHOP --color green"), "explain": (None, None, "SHOP -o xml"),
    "adopt": (None, None, ""), "approve": (None, "SHOP", "repository/SHOP"), "sync": (None, "SHOP", ""), "history": ("SHOP", "none", ""),
    "rollback": (None, "SHOP", "SHOP --to x --cancel"), "drift": ("SHOP", "none", "-o xml"),
    "break-glass": ("SHOP --reason x", "none --reason x", "SHOP"), "render": ("FILES", "FILES/bad", "FILES/none"),
    "health": ("-f FILES/a.yaml", "-f FILES/bad/b.yaml", "-f FILES/none"), "verify": (None, None, "HEAD"),
    "completion": ("bash", None, "csh"), "review": (None, "--applier x -f FILES/a.yaml", "-f FILES/a.yaml"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_exit_status_of_each_verb_is_what_its_help_says(verb, shop, tmp_path):
    shop.set_status("True", "applied", lastAppliedRevision="main@sha1:abcdef")
    files = write(tmp_path / "files", {"a.yaml": config_map("a")})
    write(files / "bad", {"b.yaml": "a: [\n"})
    (files / ".sourceignore").write_text("/bad\n")
    told = run(verb, "--help").stdout.partition("Exit status: ")[2]
    for expected, line in enumerate(STATUSES[verb]):
        if line is None and verb == "completion":
            continue
        assert re.search(rf"(^|\s){expected}:\s", told)
        if line is None:
            continue
        arguments = [word.replace("SHOP", "shop").replace("FILES", str(files)) for word in line.split()]
        cluster = not set(arguments) & {"-n"} and verb not in NEEDS_NO_CLUSTER
        done = shop.run(verb, *arguments) if cluster else shop.run_as_is(verb, *arguments)
        assert done.returncode == expected, (line, done.stdout, done.stderr)
        assert expected == 0 or done.stderr or done.stdout, "why is told"
    if verb not in NEEDS_NO_CLUSTER:
        line = STATUSES[verb][0] if STATUSES[verb][0] is not None else "" if verb == "check" else "shop"
        done = run(verb, *line.replace("SHOP", "shop").split(), env={"KUBECONFIG": "/nowhere"})
        assert done.returncode == 2 and "/nowhere" in done.stderr, "a cluster that cannot be reached is no no"


@pytest.mark.parametrize("page", PAGES[1:])
def test_every_flag_of_a_process_is_in_its_manual(page):
    told = subprocess.run([paths.gitmoor_bin() / page[:-2], "--help"], capture_output=True, text=True, check=True).stdout
    flags = re.findall(r"^  (--[a-z-]+)", told, re.M)
    text = manual(page)
    assert len(flags) > 10 and not [flag for flag in flags if not re.search(rf'^\.B "{flag}[ "]', text, re.M)]
    assert not [name for name in re.findall(r"\((GITMOOR_[A-Z_]+)", told) if f"In the environment: {name}." not in text]


@pytest.mark.skipif(not shutil.which("groff"), reason="groff judges the pages")
@pytest.mark.parametrize("page", PAGES)
def test_groff_finds_nothing_wrong_with_a_page(page):
    file = paths.gitmoor_bin().parent / "man" / page
    done = subprocess.run(["groff", "-man", "-ww", "-rCHECKSTYLE=3", "-Kutf8", "-Tutf8", "-P-cbou", file], capture_output=True, text=True, check=True)
    assert done.stderr == "" and "EXIT STATUS" in done.stdout


def test_what_is_installed_is_found(tmp_path):
    subprocess.run(["cmake", "--install", paths.gitmoor_bin().parent, "--prefix", tmp_path], check=True, capture_output=True)
    for page in PAGES:
        assert (tmp_path / "share/man" / f"man{page[-1]}" / page).is_file()
        assert os.access(tmp_path / "bin" / page[:-2], os.X_OK)
    assert (tmp_path / "bin/kubectl-gitmoor").is_symlink() and (tmp_path / "bin/kubectl_complete-gitmoor").is_symlink()


ABOUT_APPLICATIONS = ["diff", "explain", "adopt", "approve", "sync", "history", "rollback", "drift", "break-glass"]


@pytest.mark.parametrize("verb", ABOUT_APPLICATIONS)
def test_what_is_about_an_application_takes_no_other_kind(verb):
    reason = ["--reason", "x"] if verb == "break-glass" else []
    done = run(verb, "repository/shop", *reason, env={"KUBECONFIG": "/nowhere"})
    assert done.returncode == 2 and "repository/shop is no application" in done.stderr, done.stderr
    done = run(verb, "application/shop", *reason, env={"KUBECONFIG": "/nowhere"})
    assert done.returncode == 2 and "/nowhere" in done.stderr, "the command line is right, the kubeconfig is not"


def test_what_is_no_verb_is_a_usage_error():
    assert run().returncode == 2
    done = run("frobnicate")
    assert done.returncode == 2 and "frobnicate" in done.stderr and done.stdout == ""


def test_kubectl_finds_it_as_a_plugin():
    path = f"{paths.gitmoor_bin()}:{os.environ['PATH']}"
    done = subprocess.run([paths.control_plane("kubectl"), "gitmoor", "--version"], capture_output=True, text=True,
                          env={**os.environ, "PATH": path}, check=False)
    assert (done.returncode, done.stdout) == (0, run("--version").stdout)


def completed(*words):
    """What bash would offer after `gitmoor WORDS`, the last of which is only begun."""
    script = 'source <(gitmoor completion bash); COMP_WORDS=(gitmoor "$@"); COMP_CWORD=$#; _gitmoor; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True,
                          env={**os.environ, "PATH": f"{paths.gitmoor_bin()}:{os.environ['PATH']}"})
    return done.stdout.split()


@pytest.mark.parametrize("words,expected", [
    (["sta"], ["status"]), (["re"], ["reconcile", "resume", "render", "review"]), (["help", "sus"], ["suspend"]),
    (["status", "shop", "--out"], ["--output"]), (["status", "-o", ""], ["text", "json"]), (["diff", "--color", "a"], ["auto", "always"]),
    (["diff", "--path", ""], []), (["status", "sh"], []), (["nonsense", "--"], []),
    (["reconcile", "--"], ["--wait", "--timeout", "--namespace", "--kubeconfig", "--context"])])
def test_bash_completes_verbs_options_and_choices(words, expected):
    assert sorted(completed(*words)) == sorted(expected)


def test_kubectl_completes_what_stands_after_gitmoor():
    path = f"{paths.gitmoor_bin()}:{os.environ['PATH']}"
    done = subprocess.run([paths.control_plane("kubectl"), "__complete", "gitmoor", "sta"], capture_output=True, text=True,
                          env={**os.environ, "PATH": path}, check=True)
    assert "status" in done.stdout.splitlines()


# ------------------------------------------------------------------------------- render

def test_render_prints_objects_in_the_order_of_application(tmp_path):
    write(tmp_path, {
        "a.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}}\n"
                  "- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: null}}\n",
        "b.json": config_map("settings", namespace="shop"),
        "notes.txt": "not YAML: [",
    })
    done = run("render", "--output", "json", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["kind"] for item in objects] == ["Namespace", "ConfigMap", "Deployment"]
    assert objects[0]["metadata"] == {"labels": None, "name": "shop"}
    as_yaml = run("render", tmp_path).stdout
    assert as_yaml.count("\n---\n") == 2
    again = write(tmp_path / "again", {"all.yaml": as_yaml})
    assert run("render", "--output", "json", again).stdout == done.stdout


def test_render_tells_all_errors_with_file_and_line_and_prints_nothing(tmp_path):
    write(tmp_path, {
        "d/a.yaml": config_map("a"),
        "d/b.yaml": config_map("b") + "\n---\nreplicas: 1\n",
        "d/c.yaml": "a: 1\nb: [\n",
    })
    done = run("render", "--output", "json", "d", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("d/b.yaml:3: ")
    assert lines[1].startswith("d/c.yaml:") and len(lines) == 2


def test_render_refuses_what_is_outside_of_the_root(tmp_path):
    write(tmp_path, {"repo/app/a.yaml": config_map("a"), "repo/base/b.yaml": config_map("b"), "out/c.yaml": config_map("c")})
    (tmp_path / "repo/app/base").symlink_to("../base")
    done = run("render", "-o", "json", "app", cwd=tmp_path / "repo")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2
    done = run("render", "app", "--root", "app", cwd=tmp_path / "repo")
    assert done.returncode == 1 and "app/base: " in done.stderr
    (tmp_path / "repo/app/out.yaml").symlink_to("../../out/c.yaml")
    done = run("render", "app", cwd=tmp_path / "repo")
    assert done.returncode == 1 and "app/out.yaml: " in done.stderr
    assert run("render", "app", "--root", "..", cwd=tmp_path / "repo").returncode == 0
    (tmp_path / ".git").mkdir()
    assert run("render", "repo/app", cwd=tmp_path).returncode == 0, "the Git work tree is the root"
    assert run("render", tmp_path / "repo/app", cwd="/").returncode == 0


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--output", "xml", "."], ["--none", "."], ["/nonexistent"],
                                       ["/tmp", "--root", "/usr"]])
def test_render_knows_a_usage_error(arguments):
    done = run("render", *arguments)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("gitmoor render: ")


def test_ignore_patterns_mean_what_git_says_they_mean(tmp_path):
    """Random patterns over random trees: what .sourceignore excludes is what Git excludes by the same .gitignore."""
    draw = random.Random(int(os.environ.get("GITMOOR_SEED", 20261124)))
    names = ["a", "b", "ab", "abc", "a.yaml", "b.yaml", "ab.yaml", "x[1]", "a b"]
    pieces = ["a", "b", "*", "**", "?", "a*", "*b", "[ab]", "[!a]", "*.yaml", "ab", "a?c", "\\a", "[a-c]*", "x\\[1]"]
    for number in range(25):
        tree = tmp_path / str(number)
        files = set()
        while len(files) < 25:
            depth = draw.randint(0, 3)
            files.add("/".join([draw.choice(names[:4] + names[-2:]) + ".d" for _ in range(depth)] + [f"{draw.choice(names)}.f.yaml"]))
        patterns = []
        for _ in range(draw.randint(1, 6)):
            parts = [draw.choice(pieces) + draw.choice(["", ".d", ".f.yaml", "*"]) for _ in range(draw.randint(1, 3))]
            # Git takes "a**" for "a" and a "**" (its literal prefix is cut off first), against its own documentation.
            parts = [part if set(part) == {"*"} else part.replace("**", "*").replace("**", "*") for part in parts]
            patterns.append(draw.choice(["", "", "!"]) + draw.choice(["", "/"]) + "/".join(parts) + draw.choice(["", "", "/"]))
        write(tree, {name: config_map("x") for name in files})
        write(tree, {".sourceignore": "\n".join(patterns) + "\n", ".gitignore": "\n".join(patterns) + "\n"})
        subprocess.run(["git", "init", "-q", tree], check=True)
        listed = subprocess.run(["git", "-C", tree, "ls-files", "-z", "--others", "--exclude-standard"], check=True,
                                capture_output=True, text=True, env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}).stdout
        expected = sorted(name for name in listed.split("\0") if name.endswith(".f.yaml"))
        write(tree, {name: "x: 1\n" for name in files})  # each an error now, which names its file
        done = run("render", ".", cwd=tree)
        seen = sorted(line.removeprefix("./").split(":")[0] for line in done.stderr.splitlines())
        assert seen == expected, patterns


# ------------------------------------------------------------------------------- health

def test_health_judges_in_the_order_of_the_input(tmp_path):
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "generation": 1},
                  "spec": {"replicas": 2}}
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [deployment, json.loads(config_map("a", namespace="shop"))]})
    namespace = '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}'
    for stream in (f"{listed}\n---\n{namespace}\n", f"{listed}\n{namespace}\n"):
        done = run("health", "-f", "-", "-o", "json", stdin=stream)
        assert (done.returncode, done.stderr) == (0, "")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(line["kind"], line["namespace"], line["name"], line["status"]) for line in lines] == [
            ("Deployment", "shop", "web", "InProgress"), ("ConfigMap", "shop", "a", "Current"), ("Namespace", "", "shop", "Current")]
        assert all(line["message"] for line in lines)
    path = tmp_path / "live.yaml"
    path.write_text(stream)
    assert run("health", "-f", path, "-o", "json").stdout == done.stdout
    assert "InProgress" in run("health", "-f", path).stdout


@pytest.mark.parametrize("flags", [[], ["--kstatus"]])
def test_health_agrees_with_kstatus_word_by_word(flags):
    """health.jsonl has what kstatus says of objects of all its kinds in all states (tests/oracle/kstatus)."""
    lines = (paths.ROOT / "tests/unit/data/health.jsonl").read_text().splitlines()
    wanted = [json.loads(line) for line in lines]
    found = run("health", "-f", "-", "-o", "json", *flags, stdin="".join(json.dumps(each["object"]) + "\n" for each in wanted))
    told = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(told) == len(wanted) >= 1200
    differences = [(each["object"], each["status"], each.get("message"), is_["status"], is_["message"]) for each, is_ in zip(wanted, told)
                   if is_["status"] != each["status"] or is_["message"] != each.get("message", is_["message"])]
    assert not differences
    kinds = {each["object"].get("kind") for each in wanted}
    assert {"Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "PersistentVolumeClaim", "PodDisruptionBudget",
            "Service", "Ingress", "CustomResourceDefinition", "APIService", "Thing"} <= kinds


def test_health_by_rules_of_ones_own_the_shipped_ones_and_kstatus_alone(tmp_path):
    issuer = json.dumps({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "x"}})
    assert run("health", "-f", "-", stdin=issuer).stdout == "InProgress    Issuer x  waiting for condition Ready\n"
    assert run("health", "-f", "-", "--kstatus", stdin=issuer).stdout == "Current       Issuer x  Resource is current\n"
    rules = tmp_path / "rules.yaml"
    rules.write_text("checks:\n- group: cert-manager.io\n  kind: Issuer\n  rules:\n"
                     "  - {status: Failed, fields: [{path: /status, set: false}]}\n")
    assert run("health", "-f", "-", "--rules", rules, stdin=issuer).stdout == "Failed        Issuer x  /status is not set\n"
    rules.write_text("checks:\n- {group: cert-manager.io, kind: Issuer, rules: [{status: Fine}]}\n")
    refused = run("health", "-f", "-", "--rules", rules, stdin=issuer)
    assert refused.returncode == 2 and "rules.yaml:2: checks[0].rules[0].status" in refused.stderr
    assert run("health", "-f", "-", "--rules", rules, "--kstatus", stdin=issuer).returncode == 2


def test_health_says_when_it_cannot_judge():
    assert run("health", "-f", "-", stdin="a: 1\n").returncode == 1
    assert run("health", "-f", "-", stdin="a: [\n").returncode == 1
    assert run("health", "-f", "/nonexistent").returncode == 2
    assert run("health").returncode == 2
    assert run("health", "-f", "-", "-o", "xml", stdin="").returncode == 2
    assert run("health", "-f", "-", stdin="").returncode == 0


# ------------------------------------------------------------------------------- the cluster

@pytest.fixture(scope="module")
def quiet(scratch):
    """A control plane without our processes, so that the status of an object is what the test writes."""
    with Cluster(scratch / "quiet", controller_manager=False) as cluster:
        yield cluster


@pytest.fixture
def shop(quiet):
    """A namespace with a repository and an application, and gitmoor run against it."""
    namespace = quiet.new_namespace()
    api = quiet.api()
    body = {"apiVersion": "gitmoor.io/v1alpha1", "metadata": {"name": "shop", "namespace": namespace}}
    api.apply({**body, "kind": "GitRepository", "spec": {"url": "https://git.example.org/shop.git"}})
    api.apply({**body, "kind": "Application", "spec": {"source": {"repository": "shop", "path": "deploy"}}})

    class Shop:
        def run(self, *arguments):
            return run(*arguments, "-n", namespace, "--kubeconfig", quiet.kubeconfig("admin"))

        def run_as_is(self, *arguments):
            return run(*arguments, env={"KUBECONFIG": quiet.kubeconfig("admin")})

        def start(self, *arguments):
            return subprocess.Popen([GITMOOR, *arguments, "-n", namespace, "--kubeconfig", str(quiet.kubeconfig("admin"))],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def object(self, kind="Application"):
            return api.get(kind, namespace, "shop")

        def set_status(self, ready, message, kind="Application", handled=None, **status):
            condition = {"type": "Ready", "status": ready, "reason": "Test", "message": message,
                         "lastTransitionTime": "2026-01-01T00:00:00Z"}
            api.patch(kind, namespace, "shop", {"status": {
                "observedGeneration": self.object(kind)["metadata"]["generation"], "conditions": [condition],
                "lastHandledReconcileAt": handled, **status}}, subresource="status")

        def requested(self):
            return self.object()["metadata"].get("annotations", {}).get("gitmoor.io/reconcile-requested-at")

    shop = Shop()
    shop.namespace = namespace
    return shop


def test_get_lists_what_there_is(shop):
    shop.set_status("True", "applied", lastAppliedRevision="main@sha1:abc", objects={"desired": 7})
    done = shop.run("get")
    assert done.returncode == 0
    assert "https://git.example.org/shop.git" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "main@sha1:abc" in line).split()
    assert row[:6] == ["shop", "True", "<none>", "<none>", "main@sha1:abc", "7"]
    assert "REPOSITORY" not in shop.run("get", "applications").stdout
    assert "applied" in shop.run("get", "app/shop", "-o", "wide").stdout
    assert "NAMESPACE" in shop.run("get", "-A").stdout
    items = json.loads(shop.run("get", "-o", "json").stdout)["items"]
    assert [item["kind"] for item in items] == ["GitRepository", "Application"]
    assert json.loads(shop.run("get", "repository", "shop", "-o", "json").stdout)["spec"]["url"].endswith("shop.git")
    assert shop.run("get", "pods").returncode == 2
    done = shop.run("get", "application", "none")
    assert done.returncode == 1 and f"no application none in namespace {shop.namespace}" in done.stderr


def test_status_tells_errors_with_file_and_line(shop):
    assert shop.run("status", "shop").returncode == 1, "nobody has taken it up"
    shop.set_status("False", "2 objects are invalid", lastAttemptedRevision="main@sha1:def",
                    errors=[{"object": "ConfigMap a", "file": "deploy/a.yaml", "line": 3, "message": "no\nsuch \x1b[31mfield"}],
                    history=[{"revision": "main@sha1:abc", "appliedAt": "2026-01-01T00:00:00Z", "changed": 3, "pruned": 1}])
    done = shop.run("status", "shop")
    assert done.returncode == 1
    assert "deploy/a.yaml:3: ConfigMap a: no\n" in done.stdout and "\x1b" not in done.stdout
    assert "main@sha1:abc, 3 changed, 1 pruned" in done.stdout and "2 objects are invalid" in done.stdout
    shop.set_status("True", "applied")
    assert shop.run("status", "shop").returncode == 0
    assert json.loads(shop.run("status", "shop", "-o", "json").stdout)["kind"] == "Application"
    assert shop.run("status", "repository/shop").returncode == 1
    assert shop.run("status", "none").returncode == 1


def test_reconcile_asks_and_waits_until_it_is_ready(shop):
    shop.set_status("True", "applied before")
    assert shop.run("reconcile", "shop").returncode == 0
    first = shop.requested()
    assert first
    waiting = shop.start("reconcile", "shop", "--wait")
    wait_for(lambda: shop.requested() != first, what="the request")
    assert waiting.poll() is None, "what was ready before the request does not count"
    shop.set_status("Unknown", "applying", handled=shop.requested())
    shop.set_status("True", "applied again", handled=shop.requested())
    _, said = waiting.communicate(timeout=120)
    assert waiting.returncode == 0 and "applied again" in said


def test_reconcile_fails_with_the_reason(shop):
    waiting = shop.start("reconcile", "shop", "--wait")
    wait_for(shop.requested, what="the request")
    shop.set_status("False", "the namespace is missing", handled=shop.requested())
    _, said = waiting.communicate(timeout=120)
    assert waiting.returncode == 1 and "the namespace is missing" in said
    done = shop.run("reconcile", "shop", "--wait", "--timeout", "200ms")
    assert done.returncode == 1 and "not ready in time" in done.stderr
    assert shop.run("reconcile", "none").returncode == 1
    assert shop.run("reconcile", "shop", "--timeout", "soon").returncode == 2


def test_two_rollbacks_within_a_second_are_two_requests(shop):
    history = [{"revision": f"main@sha1:{digit * 8}", "appliedAt": "2026-01-01T00:00:00Z", "changed": 1, "pruned": 0} for digit in "cba"]
    shop.set_status("True", "applied", lastAppliedRevision="main@sha1:cccccccc", history=history)

    def asked():
        assert shop.run("rollback", "shop", "--to", "bbbb").returncode == 0
        return shop.object()["metadata"]["annotations"]["gitmoor.io/rollback-to"]
    first = asked()
    assert first.startswith("main@sha1:bbbbbbbb ") and asked() != first


def test_a_url_as_scp_has_it_is_refused_with_what_to_write(shop, quiet):
    with pytest.raises(ApiError, match="git@HOST:PATH is ssh://git@HOST/PATH"):
        quiet.api().patch("GitRepository", shop.namespace, "shop", {"spec": {"url": "git@git.example.org:shop.git"}})


def test_suspend_and_resume(shop):
    assert shop.run("suspend", "shop").returncode == 0
    assert shop.object()["spec"]["suspend"] is True
    done = shop.run("reconcile", "shop")
    assert done.returncode == 1 and "suspended" in done.stderr
    assert shop.run("resume", "shop").returncode == 0
    assert shop.object()["spec"]["suspend"] is False
    assert shop.run("suspend", "repository/shop").returncode == 0
    assert shop.object("GitRepository")["spec"]["suspend"] is True
    assert shop.run("suspend", "pod/shop").returncode == 2


def test_drift_is_listed_with_who_did_it(shop):
    assert "Nothing has drifted" in shop.run("drift").stderr
    shop.set_status("True", "applied", drift=[
        {"group": "apps", "kind": "Deployment", "namespace": shop.namespace, "name": "web", "change": "Changed", "moreFields": 2,
         "fields": [".spec.replicas"], "manager": "kubectl", "subresource": "scale", "time": "2026-01-01T00:00:00Z",
         "reason": "INC-1", "seenAt": "2026-01-01T00:00:01Z", "count": 1, "state": "Drifted"},
        {"group": "", "kind": "ConfigMap", "namespace": "elsewhere", "name": "a", "change": "Deleted", "seenAt": "2026-01-01T00:00:01Z",
         "count": 3, "state": "Repaired", "endedAt": "2026-01-01T00:00:02Z"}])
    first, second = shop.run("drift").stdout.splitlines()[1:]
    told = shop.run("status", "shop").stdout
    assert f"Deployment {shop.namespace}/web, changed by break-glass: INC-1" in told and "elsewhere/a" not in told
    for word in ("shop", "Deployment web", "Drifted", "kubectl (scale), break-glass: INC-1", ".spec.replicas and 2 more"):
        assert word in first
    assert "ConfigMap elsewhere/a" in second and "<unknown>" in second and "(deleted)" in second
    assert [item["name"] for item in json.loads(shop.run("drift", "shop", "--now", "-o", "json").stdout)] == ["web"]
    assert "reason: INC-1" in shop.run("drift", "-o", "yaml").stdout
    assert shop.namespace in shop.run("drift", "-A").stdout
    assert shop.run("drift", "none").returncode == 1 and shop.run("drift", "-o", "xml").returncode == 2


def test_break_glass_says_what_comes_next(shop, quiet):
    done = shop.run("break-glass", "shop", "deployment/web", "--reason", "it's INC-7", "--for", "30m")
    assert done.returncode == 0, done.stderr
    glass = shop.object()["spec"]["breakGlass"]
    assert glass["reason"] == "it's INC-7" and glass["by"] == "admin" and glass["until"] in done.stderr
    assert shop.run("get", "app").stdout.split("\n")[1].split()[6] == "break-glass"
    commands = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    told = shlex.split(commands[0])
    assert told[:2] == ["kubectl", f"--kubeconfig={quiet.kubeconfig('admin')}"] and "--as-group=gitmoor:break-glass" in told
    assert told[-6:] == ["annotate", "--overwrite", "deployment/web", "-n", shop.namespace, "gitmoor.io/break-glass-reason=it's INC-7"]
    assert shlex.split(commands[-1]) == ["gitmoor", "break-glass", "shop", "-n", shop.namespace, "--end"]
    assert "may not" not in done.stderr

    assert shop.run("break-glass", "shop", "--end").returncode == 0
    assert "breakGlass" not in shop.object()["spec"]
    done = shop.run("break-glass", "none", "--reason", "INC-8")
    assert done.returncode == 1 and "no application none" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["shop"], ["shop", "--reason", " "], ["shop", "--reason", "x", "--for", "25h"], ["shop", "--reason", "x", "--for", "soon"],
    ["shop", "--reason", "x", "--end"], ["repository/shop", "--reason", "x"], ["--reason", "x"]])
def test_break_glass_needs_a_reason_and_an_application_and_a_time(arguments):
    assert run("break-glass", *arguments).returncode == 2


def test_break_glass_tells_who_may_not(shop, quiet):
    """Who may write the Application may suspend repairs; who may edit the objects is another question."""
    quiet.kubectl("create", "serviceaccount", "dev", "-n", shop.namespace)
    quiet.kubectl("create", "rolebinding", "dev", "-n", shop.namespace, "--clusterrole=cluster-admin",
                  f"--serviceaccount={shop.namespace}:dev")
    kubeconfig = json.loads(quiet.kubeconfig("admin").read_text())
    kubeconfig["users"][0]["user"] = {"token": quiet.kubectl("create", "token", "dev", "-n", shop.namespace).strip()}
    file = quiet.kubeconfig("admin").parent / f"dev-{shop.namespace}.kubeconfig"
    file.write_text(json.dumps(kubeconfig))
    done = run("break-glass", "shop", "-n", shop.namespace, "--reason", "x", "--kubeconfig", file)
    assert done.returncode == 0 and "may not impersonate the group gitmoor:break-glass" in done.stderr
    assert f"--as=system:serviceaccount:{shop.namespace}:dev" in done.stdout
    assert shop.object()["spec"]["breakGlass"]["by"] == f"system:serviceaccount:{shop.namespace}:dev"


def test_a_cluster_that_cannot_be_asked_is_told_apart(shop, tmp_path):
    assert run("get", "--kubeconfig", tmp_path / "none").returncode == 2
    assert run("get", "--kubeconfig", tmp_path / "none").stderr.startswith("gitmoor get: ")


# ------------------------------------------------------------------------------- verify

@pytest.fixture
def signed(tmp_path):
    """A repository whose first commit is unsigned and whose second is signed with an SSH key."""
    repo = tmp_path / "repo"
    for name in ("mine", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", tmp_path / name], check=True)
    git = ["git", "-C", repo, "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "gpg.format=ssh",
           "-c", f"user.signingkey={tmp_path / 'mine'}"]
    subprocess.run(["git", "init", "-q", "-b", "main", repo], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "unsigned"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-S", "-m", "signed"], check=True)
    return tmp_path


def test_verify_tells_signed_unsigned_and_unknown_apart(signed):
    mine, other, repo = signed / "mine.pub", signed / "other.pub", signed / "repo"
    done = run("verify", "--keys", mine, "--repo", repo, "HEAD")
    assert done.returncode == 0 and "mine" in done.stdout
    assert run("verify", "--keys", other, "--repo", repo, "HEAD").returncode == 1
    assert run("verify", "--keys", mine, "--repo", repo, "HEAD~1").returncode == 1
    assert run("verify", "--keys", mine, "--repo", repo, "nowhere").returncode == 2
    assert run("verify", "--keys", signed / "none", "--repo", repo, "HEAD").returncode == 2
    assert run("verify", "--keys", mine, "--repo", signed / "none", "HEAD").returncode == 2


def test_verify_takes_several_keys_in_every_way(signed):
    mine, other, repo = signed / "mine.pub", signed / "other.pub", signed / "repo"
    for arguments in (["--keys", other, mine, "--repo", repo, "main"], ["--keys", other, "--keys", mine, "--repo", repo, "main"],
                      ["--repo", repo, "--keys", other, mine, "main"], ["main", "--repo", repo, "--keys", other, mine]):
        assert run("verify", *arguments).returncode == 0, arguments
    assert run("verify", "--keys", mine, cwd=repo).returncode == 2
    assert run("verify", "main", cwd=repo).returncode == 2
    assert run("verify", "--keys", mine, "--", "main", cwd=repo).returncode == 0
