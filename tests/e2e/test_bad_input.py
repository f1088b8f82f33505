"""Bad input: whatever is wrong is told once and clearly, other applications go on, and nothing needs a restart to recover."""
import os

import pytest

from harness import sample
from harness.mooring import Mooring, config_map
from harness.process import resident
from harness.proxy import Fault
from harness.repository import Repository
from harness.waiting import wait_for


@pytest.fixture
def neighbour(make_repository, moored):
    """A good application of another repository; works() proves that it still goes on."""
    repository = make_repository()
    repository.commit({"deploy/n.yaml": config_map("neighbour", step="0")})
    other = moored(repository, name="neighbour")
    other.wait_applied()
    count = iter(range(1, 100))

    def works():
        number = str(next(count))
        other.push({"deploy/n.yaml": config_map("neighbour", step=number)})
        other.wait_applied()
        assert other.config_map("neighbour") == {"step": number}

    other.works = works
    return other


# ------------------------------------------------------------------------------- the repository

@pytest.fixture
def shop(cluster, gitmoor, namespace, repository):
    """A Mooring that looks for new commits every second; the test makes it."""
    made = Mooring(cluster, namespace, repository)
    made.repository_spec["interval"] = "1s"
    yield made
    made.remove()


def test_a_repository_that_does_not_exist(shop, repository, git_server, neighbour):
    missing = f"{repository.url.removesuffix('.git')}-missing.git"
    good, repository.url = repository.url, missing
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop.make()
    shop.wait_source("False", "-missing", reason="RepositoryNotFound")
    shop.wait_source_event("Warning", "RepositoryNotFound")
    shop.wait_not_ready("GitRepository", shop.namespace)
    neighbour.works()
    name = missing.rsplit("/", 1)[1].removesuffix(".git")
    git_server.create(name)
    repository.git("push", "-q", git_server.root / f"{name}.git", "HEAD:refs/heads/main")
    shop.wait_applied()
    assert good != repository.url


def test_credentials_that_are_refused(shop, repository, git_server, api, neighbour):
    name = repository.url.rsplit("/", 1)[1].removesuffix(".git")
    git_server.credentials.basic[name] = "robot:right"
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop.make_repository(username="robot", password="wrong")
    shop.make_application()
    told = shop.wait_source("False", reason="AuthenticationFailed")
    assert "wrong" not in told["message"] and "d3Jvbmc" not in told["message"], "no secret in a condition"
    shop.wait_source_event("Warning", "AuthenticationFailed")
    neighbour.works()
    api.apply(sample.ca_secret(shop.namespace, "shop-git", repository.ca_file, username="robot", password="right"))
    shop.wait_applied()


def test_no_credentials_where_some_are_needed(shop, repository, git_server):
    name = repository.url.rsplit("/", 1)[1].removesuffix(".git")
    git_server.credentials.bearer[name] = "token"
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop.make()
    shop.wait_source("False", reason="AuthenticationFailed")
    shop.make_repository(bearerToken="token")
    shop.wait_applied()


def test_a_secret_that_does_not_exist(shop, repository, api):
    repository.commit({"deploy/a.yaml": config_map("a")})
    body = sample.git_repository(shop.namespace, "shop", repository.url, "1s", secret="shop-git")
    api.apply(body)
    shop.make_application()
    shop.wait_source("False", "shop-git", reason="SecretInvalid")
    shop.make_repository()
    shop.wait_applied()


@pytest.mark.parametrize("certificate", ["wrong-host", "unknown"])
def test_a_broken_certificate(certificate, shop, repository, git_server):
    repository.commit({"deploy/a.yaml": config_map("a")})
    git_server.use_certificate(certificate)
    shop.make()
    shop.wait_source("False", reason="CertificateInvalid")
    shop.wait_source_event("Warning", "CertificateInvalid")
    git_server.use_certificate("good")
    shop.wait_applied()


def test_an_empty_repository(shop, repository, neighbour):
    shop.make()
    shop.wait_source("False", reason="EmptyRepository")
    shop.wait_source_event("Warning", "EmptyRepository")
    neighbour.works()
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop.wait_applied()


def test_a_branch_that_is_missing(shop, repository, neighbour):
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop.repository_spec["ref"] = {"branch": "release"}
    shop.make()
    shop.wait_source("False", "release", reason="BranchNotFound")
    shop.wait_source_event("Warning", "release")
    neighbour.works()
    repository.push("release")
    shop.wait_applied(repository.revision("release"))


def test_a_path_that_is_missing(shop, repository, neighbour):
    repository.commit({"elsewhere/a.yaml": config_map("a")})
    shop.make()
    shop.wait_not_ready("deploy", "spec.source.path")
    shop.wait_event("Warning", "deploy")
    assert shop.condition()["message"].count("\n") == 0
    neighbour.works()
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop.wait_applied()


def test_a_path_that_vanishes_deletes_nothing(shop, repository):
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop.make()
    shop.wait_applied()
    repository.git("mv", "deploy", "moved")
    repository.commit()
    shop.wait_not_ready("deploy")
    assert set(shop.live()) == {"a"}


@pytest.mark.parametrize("status,retry_after", [(500, ""), (503, "1"), (429, "1")])
def test_a_git_server_that_fails_for_a_while(status, retry_after, shop, repository, git_server):
    repository.commit({"deploy/a.yaml": config_map("a")})
    git_server.faults.only = repository.url.rsplit("/", 1)[1]
    git_server.faults.retry_after = retry_after
    git_server.faults.status = status
    shop.make()
    shop.wait_source("False", str(status))
    git_server.faults.reset()
    shop.wait_applied()


def test_a_git_server_that_drops_the_connection(shop, repository, git_server):
    repository.commit({"deploy/a.yaml": config_map("a")})
    git_server.faults.only = repository.url.rsplit("/", 1)[1] + "/git-upload-pack"
    git_server.faults.drop_after = 100
    shop.make()
    shop.wait_source("False")
    git_server.faults.reset()
    shop.wait_applied()


def test_a_git_server_that_does_not_answer(shop, repository, git_server):
    repository.commit({"deploy/a.yaml": config_map("a")})
    git_server.faults.only = repository.url.rsplit("/", 1)[1]
    git_server.faults.delay = 60
    shop.repository_spec["timeout"] = "4s"  # enough for a fetch on a busy machine, when it answers again
    shop.make()
    shop.wait_source("False", reason="Timeout")
    git_server.faults.reset()
    shop.wait_applied()


def test_a_repository_of_200_mb(shop, repository, gitmoor):
    """It is taken like any other, and costs no process its memory."""
    repository.without_deltas()
    repository.write({f"large/{number}.bin": os.urandom(10 << 20) for number in range(20)})
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop.make()
    shop.wait_applied(timeout=120)
    for name, process in gitmoor.processes.items():
        assert process.alive()
        wait_for(lambda process=process: resident(process.pid) < 120 << 20, timeout=60,
                 what=f"{name}, which holds {resident(process.pid) >> 20} MiB, gives the memory back")
    repository.commit({"deploy/a.yaml": config_map("a", step="2")})
    shop.wait_applied()
    assert shop.config_map("a") == {"step": "2"}


# ------------------------------------------------------------------------------- the manifests

GOOD = config_map("good", step="{n}")


def deep(levels):
    return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: deep}\ndata: " + "[" * levels + "]" * levels + "\n"


def bomb():
    """Each level holds ten aliases of the one before: ten million nodes."""
    lines = ["apiVersion: v1", "kind: ConfigMap", "metadata: {name: bomb}", "x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 7)]
    return "\n".join(lines) + "\n"


def aliases(count):
    return ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: many}\nbase: &b {a: 1}\nlist: [" + ",".join(["*b"] * count)
            + "]\n")


BAD_FILES = {
    "does not parse": ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {bad: ]}\n", 4),
    "a tab as indentation": ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: bad\n", 4),
    "a duplicate key": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata:\n  a: b\n  a: c\n", 6),
    "ten thousand levels": (deep(10000), 4),
    "an alias bomb": (bomb(), None),
    "a million aliases": (aliases(1000000), None),
    "an alias of itself": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata: &d\n  a: *d\n", 5),
    "no kind": ("apiVersion: v1\nmetadata: {name: bad}\n", 1),
    "no apiVersion": ("kind: ConfigMap\nmetadata: {name: bad}\n", 1),
    "no name": ("apiVersion: v1\nkind: ConfigMap\ndata: {}\n", 1),
    "not an object": ("- just\n- a list\n", 1),
    "an unknown kind": ("apiVersion: example.org/v1\nkind: Nonesuch\nmetadata: {name: bad}\n", 1),
    "a second document without kind": (config_map("one") + "---\napiVersion: v1\nmetadata: {name: two}\n", 6),
    "the same object twice": (config_map("twice", a="1") + "---\n" + config_map("twice", a="2"), 8),
    "an object that the API server refuses": ("apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec:\n  ports:\n"
                                              "    - port: 99999\n", 1),
    "an unknown field": ("apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec:\n  porst: []\n  ports: [{port: 1}]\n", 1),
    "invalid UTF-8": (b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata: {a: \"\xff\xfe\"}\n", None),
}


@pytest.fixture(scope="module")
def manifests(cluster, gitmoor, git_server, tmp_path_factory):
    """One repository for all bad files: the application bad in bad/, the application good in good/."""
    repository = Repository.create(git_server, tmp_path_factory.mktemp("manifests"), "manifests")
    repository.commit({"bad/good.yaml": GOOD.format(n=0), "good/other.yaml": config_map("other", step="0")})
    bad = Mooring(cluster, cluster.new_namespace("bad"), repository, "bad", "bad").make()
    bad.neighbour = bad.beside("good", "good")
    bad.wait_applied()
    bad.neighbour.wait_applied()
    bad.number = 0
    yield bad
    bad.remove()


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_manifest_with(what, manifests):
    text, line = BAD_FILES[what]
    bad = manifests
    bad.number += 1
    file = f"bad/{bad.number:02}-bad.yaml"
    before = bad.config_map("good")
    bad.push({file: text, "bad/good.yaml": GOOD.format(n=bad.number), "good/other.yaml": config_map("other", step=str(bad.number))})
    place = f"{file}:{line}" if line else file
    try:
        bad.neighbour.wait_applied()
        told = bad.wait_not_ready(place)
        bad.wait_event("Warning", place)
        assert bad.config_map("good") == before, "nothing of a bad commit is written"
        error = bad.status()["errors"][0]
        assert error["file"] == file and (line is None or error["line"] == line) and error["message"]
        assert len(told["message"]) < 2000, "a message that people can read"
        assert bad.neighbour.config_map("other") == {"step": str(bad.number)}
    finally:
        bad.push({file: None})
        bad.wait_applied()
    assert bad.config_map("good") == {"step": str(bad.number)}


@pytest.mark.parametrize("manifest,words", [
    (config_map("bad", namespace="nowhere"), ('"nowhere" not found', "Declare the Namespace in Git")),
    (config_map("bad") + "dta: {}\n", (".dta: field not declared in schema", "Correct its name")),
])
def test_what_to_do_is_told_where_the_server_does_not(manifest, words, manifests):
    manifests.push({"bad/advised.yaml": manifest})
    try:
        manifests.wait_not_ready("bad/advised.yaml:1: ConfigMap", *words, reason="Invalid")
    finally:
        manifests.push({"bad/advised.yaml": None})
        manifests.wait_applied()


def test_all_errors_are_told_at_once(manifests):
    bad = manifests
    names = ["bad/90-a.yaml", "bad/91-b.yaml", "bad/92-c.yaml"]
    bad.push({names[0]: "kind: X\n", names[1]: "apiVersion: example.org/v1\nkind: Nonesuch\nmetadata: {name: x}\n",
              names[2]: "a: [\n"})
    try:
        bad.wait_not_ready(*names)
        assert {error["file"] for error in bad.status()["errors"]} == set(names)
    finally:
        bad.push({name: None for name in names})
        bad.wait_applied()


def test_an_object_that_two_applications_claim(repository, moored):
    repository.commit({"one/a.yaml": config_map("claimed", by="one"), "two/a.yaml": config_map("claimed", by="two"),
                       "two/b.yaml": config_map("own")})
    one = moored(repository, name="one", path="one")
    one.wait_applied()
    two = one.beside("two", "two")
    two.wait_not_ready("two/a.yaml", "one")
    two.wait_event("Warning", "two/a.yaml")
    assert one.config_map("claimed") == {"by": "one"}
    one.push({"two/a.yaml": None})
    two.wait_applied()
    assert two.config_map("own") == {}
    assert one.config_map("claimed") == {"by": "one"}


def test_an_object_may_move_from_one_application_to_another(repository, moored, api, namespace):
    repository.commit({"one/a.yaml": config_map("moves"), "one/b.yaml": config_map("stays"), "two/c.yaml": config_map("other")})
    one = moored(repository, name="one", path="one")
    two = one.beside("two", "two")
    one.wait_applied()
    two.wait_applied()
    uid = api.get("ConfigMap", namespace, "moves")["metadata"]["uid"]
    one.push({"one/a.yaml": None, "two/a.yaml": config_map("moves")})
    two.wait_applied()
    one.wait_applied()
    wait_for(lambda: "moves" in two.live(), what="it belongs to the other application")
    assert api.get("ConfigMap", namespace, "moves")["metadata"]["uid"] == uid, "it was never deleted"


def test_a_link_out_of_the_repository_is_contained(repository, moored):
    repository.commit({"deploy/a.yaml": config_map("a")})
    (repository.folder / "deploy" / "passwd.yaml").symlink_to("/etc/passwd")
    (repository.folder / "deploy" / "up.yaml").symlink_to("../../../../etc/passwd")
    repository.commit()
    shop = moored(repository)
    told = shop.wait_not_ready("deploy/passwd.yaml")
    assert "root:" not in told["message"]


def test_an_application_of_no_repository(moored, repository, neighbour):
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop = moored(repository)
    shop.wait_applied()
    shop.repository_name = "nowhere"
    shop.make_application()
    shop.wait_not_ready("nowhere", reason="RepositoryNotReady")
    shop.wait_event("Warning", "nowhere")
    neighbour.works()
    assert set(shop.live()) == {"a"}, "nothing is deleted for that"
    shop.repository_name = "shop"
    shop.make_application()
    shop.wait_applied()


def nested(depth):
    value = "end"
    for _ in range(depth):
        value = {"a": value}
    return value


UNREADABLE = {
    "a zero byte in an annotation": ({"annotations": {"note": "a\0b"}}, {}, "a string in it holds a zero byte"),
    "zero bytes in values": ({}, {"render": {"helm": {"values": {"a\0": "x\0", "a\ufffd0": "y"}}}}, "a string in it holds a zero byte"),
    "values that are nested without end": ({}, {"render": {"helm": {"values": nested(300)}}}, "it is nested too deeply"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_application_that_cannot_be_read_keeps_nobody_else_from_being(neighbour, api, namespace, case):
    metadata, spec, why = UNREADABLE[case]
    body = sample.application(namespace, "odd", "neighbour", path="deploy", **spec)
    body["metadata"].update(metadata)
    api.apply(body)
    neighbour.works()
    told = wait_for(lambda: next(item for item in api.get("Application", namespace, "odd")["status"]["conditions"]
                                 if item["type"] == "Ready" and item["reason"] == "Invalid"), what="the application to be refused")
    assert why in told["message"]
    api.delete("Application", namespace, "odd")
    neighbour.works()


# ------------------------------------------------------------------------------- the API server

@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_server_that_refuses_writes_for_a_while(status, calm):
    fault = Fault(status=status, method="PATCH", path="/configmaps/", retry_after="1" if status != 500 else "", times=12)
    calm.proxy.faults.append(fault)
    calm.next_commit()
    calm.settled()
    assert fault.hits == 12


def test_an_api_server_that_refuses_writes_for_long_is_told_of(calm):
    calm.proxy.faults.append(Fault(status=500, method="PATCH", path="/configmaps/c3"))
    calm.next_commit()
    calm.wait_not_ready("deploy/3.yaml", "injected by the test", timeout=90)
    calm.wait_event("Warning", "deploy/3.yaml")
    calm.proxy.faults.clear()
    calm.settled(timeout=90)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_server_that_refuses_everything_for_a_while(status, calm):
    calm.proxy.faults.append(Fault(status=status, retry_after="1", times=40))
    calm.proxy.drop_connections()
    calm.next_commit()
    wait_for(lambda: calm.proxy.faults[0].times == 0, timeout=120, what="forty requests refused")
    calm.settled(timeout=90)


def test_an_api_server_that_drops_connections(calm):
    calm.proxy.faults.append(Fault(status=0, method="PATCH", path="/configmaps/", times=7))
    calm.next_commit()
    assert calm.proxy.drop_connections() > 0
    calm.settled()
    for _ in range(5):
        calm.next_commit()
        calm.proxy.drop_connections()
    calm.settled()


def test_an_edit_during_a_lost_watch_is_still_repaired(calm):
    calm.set(protection="Off")
    wait_for(lambda: calm.api.patch("ConfigMap", calm.namespace, "c0", {"data": {"step": "edited"}}), what="an edit let through")
    wait_for(lambda: calm.config_map("c0") == {"step": str(calm.number)}, what="repaired")
    refuse = Fault(status=503, method="GET")
    calm.proxy.faults.append(refuse)
    calm.proxy.drop_connections()
    calm.api.patch("ConfigMap", calm.namespace, "c0", {"data": {"step": "edited"}})
    calm.api.delete("ConfigMap", calm.namespace, "c1")
    wait_for(lambda: refuse.hits > 3, what="watches are tried again")
    calm.proxy.faults.clear()
    wait_for(lambda: calm.config_map("c0") == {"step": str(calm.number)} and calm.config_map("c1") == {"step": str(calm.number)},
             timeout=60, what="what happened meanwhile is repaired")
    calm.set(protection="Enforce")
    calm.settled()


def test_an_api_server_that_restarts(calm):
    calm.next_commit()
    calm.cluster.restart_server(down=1)
    calm.settled(timeout=90)
    calm.next_commit()
    calm.settled()
