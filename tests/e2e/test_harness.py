"""What the other suites rely on: the control plane answers, each user has its own rights, and Git is served."""
import subprocess

import pytest

from harness.api import ApiError
from harness.waiting import wait_for


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


def deployment(namespace, name, image):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}}}


def test_deployments_roll_out_unless_their_image_is_broken(namespace, api):
    api.apply(deployment(namespace, "good", "example.org/good:1"))
    api.apply(deployment(namespace, "bad", "example.org/broken:1"))

    def ready(name):
        return api.get("Deployment", namespace, name)["status"].get("readyReplicas", 0)

    wait_for(lambda: ready("good") == 2, what="two Pods ready")
    wait_for(lambda: len(api.list("Pod", namespace)) == 4, what="the broken Pods exist")
    assert ready("bad") == 0
    api.delete("Deployment", namespace, "good")
    wait_for(lambda: len(api.list("Pod", namespace)) == 2, what="the Pods of the deleted Deployment gone")


def test_git_is_served_over_https(git_server, repository, tmp_path):
    commit = repository.commit({"a.yaml": "a: 1\n"})
    target = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", repository.url, str(target)], check=True,
                   env={"PATH": "/usr/bin:/bin", "GIT_SSL_CAINFO": str(git_server.ca_file)})
    assert subprocess.run(["git", "-C", str(target), "rev-parse", "HEAD"], capture_output=True, text=True,
                          check=True).stdout.strip() == commit


def test_git_faults_are_felt_and_end(git_server, repository):
    repository.commit({"a.yaml": "a: 1\n"})
    env = {"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0", "GIT_SSL_CAINFO": str(git_server.ca_file)}

    def works():
        return subprocess.run(["git", "ls-remote", repository.url], capture_output=True, check=False, timeout=30,
                              env=env).returncode == 0

    assert works()
    git_server.faults.status = 500
    assert not works()
    git_server.faults.reset()
    git_server.faults.drop_after = 20
    assert not works()
    git_server.faults.reset()
    for certificate in ("wrong-host", "unknown"):
        git_server.use_certificate(certificate)
        assert not works()
    git_server.use_certificate("good")
    git_server.credentials.basic[""] = "me:secret"
    assert not works()
    git_server.credentials.basic.clear()
    assert works()
