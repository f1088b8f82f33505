"""Objects that move from one application to another whose new files nobody can read: not deleted on a guess (ADR 19)."""
import json
import subprocess

import pytest

from harness import paths
from harness.mooring import config_map
from harness.waiting import wait_for
from test_differ import uid

BROKEN = "kind: ConfigMap\nmetadata: [\n"


@pytest.fixture
def pair(repository, moored):
    """Two applications of one repository, both applied."""
    repository.commit({"one/a.yaml": config_map("a"), "one/m.yaml": config_map("moves"), "one/gone.yaml": config_map("gone"),
                       "two/t.yaml": config_map("t", step="0")})
    one = moored(repository, name="one", path="one")
    two = one.beside("two", "two")
    one.wait_applied()
    two.wait_applied()
    yield one, two
    two.api.delete("Application", two.namespace, two.name)


@pytest.fixture
def run_gitmoor(cluster, namespace):
    def run(*arguments):
        return subprocess.run([paths.gitmoor_bin() / "gitmoor", *arguments, "-n", namespace, "--kubeconfig", cluster.kubeconfig("admin")],
                              capture_output=True, text=True, check=False, timeout=60)
    return run


def move(pair, **more):
    """The commit that takes both from the one, and has the other declare one of them, in files that do not render."""
    return pair[0].push({"one/a.yaml": config_map("a", step="1"), "one/m.yaml": None, "one/gone.yaml": None,
                         "two/m.yaml": config_map("moves", by="two"), "two/broken.yaml": BROKEN, **more})


def test_what_may_have_moved_to_what_does_not_render_is_kept_until_it_does(pair, api, namespace):
    one, two = pair
    before = uid(api, namespace, "moves")
    move(pair)
    two.wait_not_ready("two/broken.yaml", reason="Invalid")
    one.wait_not_ready("2 objects", f"application {namespace}/two", "two/broken.yaml", "gitmoor approve one", reason="Held")
    assert one.config_map("a") == {"step": "1"}, "the rest is applied"
    assert {error["object"] for error in one.status()["errors"]} == {f"ConfigMap {namespace}/moves", f"ConfigMap {namespace}/gone"}
    assert uid(api, namespace, "moves") == before and one.config_map("gone") == {}
    revision = one.push({"one/a.yaml": config_map("a", step="2"), "two/broken.yaml": BROKEN + "# still\n"})
    wait_for(lambda: one.config_map("a") == {"step": "2"}, what="nor do later commits wait")
    one.wait_not_ready("2 objects", reason="Held")
    one.push({"two/broken.yaml": None})
    two.wait_applied()
    one.wait_applied(revision)
    assert two.live() == {"t": {"step": "0"}, "moves": {"by": "two"}} and uid(api, namespace, "moves") == before
    assert one.config_map("gone") is None


def test_a_person_may_say_that_deleting_is_meant(pair, run_gitmoor, namespace):
    one, two = pair
    move(pair)
    one.wait_not_ready("2 objects", reason="Held")
    done = run_gitmoor("approve", "one")
    assert done.returncode == 0 and f"ConfigMap {namespace}/gone" in done.stdout, done
    one.wait_applied()
    assert one.config_map("gone") is None and one.config_map("moves") is None
    two.wait_not_ready("two/broken.yaml", reason="Invalid")


def test_what_was_broken_before_holds_nobody_up(pair):
    one, two = pair
    one.push({"two/broken.yaml": BROKEN})
    two.wait_not_ready("two/broken.yaml", reason="Invalid")
    one.push({"one/gone.yaml": None})
    one.wait_applied()
    assert one.config_map("gone") is None


def test_an_object_may_move_to_an_application_that_the_same_commit_makes(pair, api, namespace):
    one, two = pair
    before = uid(api, namespace, "moves")
    new = {"apiVersion": "gitmoor.io/v1alpha1", "kind": "Application", "metadata": {"name": "new"},
           "spec": {"source": {"repository": "one", "path": "new"}}}
    one.push({"one/m.yaml": None, "one/new.yaml": json.dumps(new), "new/m.yaml": config_map("moves", by="new")})
    one.wait_applied(timeout=60)
    wait_for(lambda: one.config_map("moves") == {"by": "new"}, what="it is the new one's")
    assert uid(api, namespace, "moves") == before, "it was never deleted"


def test_what_a_deleted_application_had_may_have_moved_too(repository, moored, api, namespace):
    repository.commit({"one/m.yaml": config_map("moves"), "two/t.yaml": config_map("t")})
    one = moored(repository, name="one", path="one", deletionPolicy="Delete")
    two = one.beside("two", "two")
    one.wait_applied()
    two.wait_applied()
    before = uid(api, namespace, "moves")
    one.set(suspend=True)
    wait_for(lambda: one.status().get("observedGeneration") == one.application()["metadata"]["generation"], what="suspended")
    one.push({"one/m.yaml": "# moved\n", "two/m.yaml": config_map("moves", by="two"), "two/broken.yaml": BROKEN})
    two.wait_not_ready("two/broken.yaml", reason="Invalid")
    one.set(suspend=False)
    one.wait_not_ready(reason="Held")
    api.delete("Application", namespace, "one")
    one.wait_not_ready(f"application {namespace}/two", "two/broken.yaml", reason="Deleting")
    one.push({"two/broken.yaml": None})
    wait_for(lambda: not one.application(), 60, "it is gone")
    two.wait_applied()
    assert two.live() == {"t": {}, "moves": {"by": "two"}} and uid(api, namespace, "moves") == before
    api.delete("Application", namespace, "two")
