"""What the other suites rely on: the control plane answers, and each process has its own rights."""
import pytest

from harness.api import ApiError


def test_every_user_is_who_it_should_be(cluster):
    for user, name in {"admin": "admin", "fetcher": "system:serviceaccount:gitmoor-system:gitmoor-fetcher",
                       "applier": "system:serviceaccount:gitmoor-system:gitmoor-applier"}.items():
        review = cluster.api(user).request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        assert review["status"]["userInfo"]["username"] == name


def test_only_the_applier_writes_and_only_by_impersonation(cluster, namespace):
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}}
    for user in ("fetcher", "differ", "applier", "admission"):
        with pytest.raises(ApiError) as refused:
            cluster.api(user).create("ConfigMap", namespace, settings)
        assert refused.value.status == 403
    marked = {"Impersonate-User": "system:serviceaccount:gitmoor-system:gitmoor-default",
              "Impersonate-Extra-gitmoor.io%2Fapplier": "someone"}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert cluster.api("applier").request("POST", path, settings, headers=marked)["metadata"]["uid"]
    with pytest.raises(ApiError) as refused:
        cluster.api("differ").request("POST", path, settings, headers=marked)
    assert refused.value.status == 403


def test_the_controller_manager_runs(cluster, namespace, api):
    from harness.waiting import wait_for
    wait_for(lambda: api.get("ServiceAccount", namespace, "default"), what="the default service account")
