"""spec.deletionPolicy: what becomes of the objects when an Application is deleted."""
import pytest

from harness.api import ApiError, condition
from harness.mooring import config_map
from harness.waiting import wait_for

FINALIZER = "gitmoor.io/prune"
PLANTS = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: plants.{group}}}
spec:
  group: {group}
  names: {{kind: Plant, plural: plants, singular: plant, listKind: PlantList}}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
"""
PLANT = "apiVersion: {group}/v1\nkind: Plant\nmetadata: {{name: fern}}\n"
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"


def finalizers(shop):
    return shop.application().get("metadata", {}).get("finalizers", [])


def delete(shop):
    shop.api.delete("Application", shop.namespace, shop.name)


def wait_gone(shop, timeout=60):
    wait_for(lambda: not shop.application(), timeout, f"{shop.name} is gone: {shop.application()}")


@pytest.fixture
def shop(repository, moored):
    repository.commit({f"deploy/{n}.yaml": config_map(f"c{n}", step="0") for n in range(3)})
    mooring = moored(repository, deletionPolicy="Delete", protection="Enforce")
    mooring.wait_applied()
    return mooring


def test_everything_goes_and_the_application_last(repository, moored, namespace, api):
    group, inner = f"g{namespace}.example.org", f"{namespace}-inner"
    repository.commit({"deploy/crd.yaml": PLANTS.format(group=group), "deploy/plant.yaml": PLANT.format(group=group),
                       "deploy/namespace.yaml": NAMESPACE.format(name=inner), "deploy/c.yaml": config_map("c"),
                       "deploy/inner.yaml": config_map("inner", inner)})
    shop = moored(repository, deletionPolicy="Delete")
    shop.wait_applied(timeout=60)
    assert finalizers(shop) == [FINALIZER]
    delete(shop)
    wait_gone(shop)
    assert shop.config_map("c") is None and api.get("CustomResourceDefinition", None, f"plants.{group}") is None
    assert api.get("Namespace", None, inner) is None
    assert not any(reason == "LeftInPlace" for _, reason, _ in shop.events())


def test_by_default_everything_stays(repository, moored):
    repository.commit({"deploy/c.yaml": config_map("c", step="0")})
    shop = moored(repository)
    shop.wait_applied()
    assert finalizers(shop) == []
    delete(shop)
    wait_gone(shop)
    assert shop.config_map("c") == {"step": "0"}


def test_the_policy_can_be_changed_either_way_until_the_end(shop):
    shop.set(deletionPolicy="Orphan")
    wait_for(lambda: finalizers(shop) == [], what="no finalizer any more")
    shop.set(deletionPolicy="Delete")
    wait_for(lambda: finalizers(shop) == [FINALIZER], what="the finalizer again")
    shop.api.patch("Application", shop.namespace, "shop", {"metadata": {"finalizers": [FINALIZER, "example.org/wait"]}}, manager="someone")
    shop.set(suspend=True)
    delete(shop)
    wait_for(lambda: finalizers(shop) == ["example.org/wait"], what="only the other's finalizer is left: a suspended one lets its objects be")
    assert set(shop.live()) == {"c0", "c1", "c2"}
    shop.api.patch("Application", shop.namespace, "shop", {"metadata": {"finalizers": None}}, manager="someone")
    wait_gone(shop)


def test_what_another_application_needs_stays_and_is_told(repository, moored, namespace):
    inner = f"{namespace}-inner"
    repository.commit({"deploy/namespace.yaml": NAMESPACE.format(name=inner), "deploy/c.yaml": config_map("c", inner),
                       "deploy/moves.yaml": config_map("moves", inner), "other/o.yaml": config_map("o", inner)})
    shop = moored(repository, deletionPolicy="Delete")
    shop.wait_applied()
    other = shop.beside("other", "other", protection="Off")
    other.wait_applied()
    other.push({"other/moves.yaml": config_map("moves", inner)})
    other.wait_not_ready("moves", reason="Invalid")  # the first holds it
    delete(shop)
    shop.wait_event("Warning", "LeftInPlace", inner, "other")
    wait_gone(shop)
    other.wait_applied()
    assert shop.config_map("c", inner) is None and shop.config_map("o", inner) == {}
    assert shop.config_map("moves", inner) == {}, "what another declares is handed over"


@pytest.mark.parametrize("killed", ["differ", "applier"])
def test_killed_on_the_way_it_goes_on(shop, gitmoor, killed):
    shop.api.patch("ConfigMap", shop.namespace, "c0", {"metadata": {"finalizers": ["example.org/wait"]}}, manager="someone")
    delete(shop)
    ready = shop.wait_not_ready("ConfigMap", "c0", "finalizers", reason="Deleting")
    assert "1 objects" in ready["message"] and shop.config_map("c1") is None
    gitmoor.kill(killed)
    shop.api.patch("ConfigMap", shop.namespace, "c0", {"metadata": {"finalizers": None}}, manager="someone")
    wait_for(lambda: shop.config_map("c0") is None, what="the object is gone")
    assert finalizers(shop) == [FINALIZER]
    gitmoor.start_one(killed)
    wait_gone(shop, 90)


MANY = 1000
MEMORY_GROWTH = 24 << 20  # of one process, while so many are deleted


@pytest.mark.parametrize("killed", ["differ", "applier"])
def test_killed_in_the_middle_of_many_it_goes_on_with_what_is_left(repository, moored, gitmoor, api, namespace, killed):
    repository.commit({"deploy/many.yaml": "---\n".join(config_map(f"c{n}", step="0") for n in range(MANY))})
    shop = moored(repository, deletionPolicy="Delete", protection="Enforce")
    shop.wait_applied(timeout=60)

    def left():
        found = api.request("GET", f"/api/v1/namespaces/{namespace}/configmaps?limit=1")
        return len(found["items"]) + found["metadata"].get("remainingItemCount", 0)
    others, before = left() - MANY, gitmoor.memory()
    delete(shop)
    wait_for(lambda: left() < MANY * 95 // 100, what="some are gone", every=0.005)
    gitmoor.kill(killed)
    assert left() > others and finalizers(shop) == [FINALIZER], "it was killed on the way"
    gitmoor.start_one(killed)
    wait_gone(shop, 90)
    assert left() == others
    after = gitmoor.memory()
    assert not {name: size for name, size in after.items() if size > before[name] + MEMORY_GROWTH}, (before, after)


def test_killed_before_it_begins_it_is_done_afterwards(shop, gitmoor):
    gitmoor.kill("applier")
    delete(shop)
    wait_for(lambda: condition(shop.application(), "Ready")["reason"] == "Deleting", what="it is told")
    gitmoor.kill("differ")
    gitmoor.start_one("applier")
    assert set(shop.live()) == {"c0", "c1", "c2"}
    gitmoor.start_one("differ")
    wait_gone(shop)
    assert shop.live() == {}


def test_without_the_right_to_delete_it_stays_and_says_so_and_can_be_let_go(repository, moored, namespace, kubectl):
    kubectl("-n", namespace, "create", "serviceaccount", "deploy")
    kubectl("-n", namespace, "create", "role", "deploy", "--verb=get,create,patch", "--resource=configmaps")
    kubectl("-n", namespace, "create", "rolebinding", "deploy", "--role=deploy", f"--serviceaccount={namespace}:deploy")
    repository.commit({"deploy/c.yaml": config_map("c")})
    shop = moored(repository, deletionPolicy="Delete", serviceAccountName="deploy")
    shop.wait_applied()
    kubectl("-n", namespace, "delete", "serviceaccount", "deploy")
    delete(shop)
    shop.wait_not_ready("cannot be deleted", "forbidden", "Orphan", reason="DeletionFailed")
    shop.set(deletionPolicy="Orphan")
    wait_gone(shop)
    assert shop.config_map("c") == {}


def test_a_namespace_with_applications_in_it_can_be_deleted(shop, api):
    shop.set(protection="Off")

    def accepted():
        try:
            api.delete("Namespace", None, shop.namespace)
        except ApiError as error:  # admission has not heard of it yet
            assert error.status == 403, error
            return False
        return True

    wait_for(accepted, what="the deletion of the namespace is accepted")
    wait_for(lambda: api.get("Namespace", None, shop.namespace) is None, 90, what="the namespace is gone")
