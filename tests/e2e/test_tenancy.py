"""The tenancy settings: what a rule refuses a namespace is refused with file, line and remedy, by whoever cannot be got around; and a
change of the rules takes effect without a restart."""
import json

import pytest

from harness import sample
from harness.api import condition
from harness.helm import CHART, Helm, objects
from harness.mooring import LABEL, Mooring, config_map, in_wave
from harness.process import Process
from harness.tenancy import PROCESSES
from harness.waiting import wait_for
from test_hooks import job

ACCOUNT = "gitmoor-system/gitmoor-default"  # the applier's own default in these tests


@pytest.fixture
def tenancy(gitmoor):
    """The settings of the shared processes; other tests' namespaces are not restricted meanwhile, nor these afterwards."""
    yield gitmoor.tenancy
    gitmoor.tenancy.set()


@pytest.fixture
def tenant(cluster, gitmoor, repository):
    """A Mooring in a namespace of its own, not made yet."""
    mooring = Mooring(cluster, cluster.new_namespace("tenant"), repository)
    mooring.repository_spec["interval"] = "1h"
    yield mooring
    mooring.remove()


def rule(tenant, **fields):
    return {"name": "tenants", "namespaces": [tenant.namespace], **fields}


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: dG9wc2VjcmV0}\n"
ROLE = ("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: everything}\n"
        "rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]\n")
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-system, labels: {mine: 'yes'}}\n"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n"

# What is committed beside an allowed ConfigMap, and the words of the refusal.
REFUSED = {
    "a Secret": (SECRET, "deploy/x.yaml:2: Secret {namespace}/s", "`resources.deny` names core/secrets"),
    "a kind that is not listed": (SERVICE, "Service {namespace}/s", "`resources.allow` allows only core/configmaps, core/secrets"),
    "a ClusterRole": (ROLE, "ClusterRole everything", "`clusterResources.allow` allows only core/namespaces"),
    "a Namespace that is not its": (NAMESPACE, "Namespace kube-system", "`targetNamespaces` allows only $namespace"),
    "another's namespace": (config_map("theirs", namespace="kube-system"), "ConfigMap kube-system/theirs", "`targetNamespaces`"),
}


def test_objects_that_a_rule_refuses(tenancy, tenant, api):
    tenancy.set(rule(tenant, targetNamespaces=["$namespace"], clusterResources={"allow": ["core/namespaces"]},
                     resources={"allow": ["core/configmaps", "core/secrets"], "deny": ["core/secrets"]}))
    tenant.repository.commit({"deploy/a.yaml": config_map("a", step="0")})
    tenant.make()
    tenant.wait_applied()
    for what, (manifest, *words) in REFUSED.items():
        tenant.push({"deploy/x.yaml": "# a comment\n" + manifest, "deploy/a.yaml": config_map("a", step=what)})
        words = [word.format(namespace=tenant.namespace) for word in words]
        told = tenant.wait_not_ready("deploy/x.yaml", '(rule "tenants", tenancy.yaml:2)', *words, reason="NotAllowed")
        assert "ask whoever operates Gitmoor" in told["message"], what
        assert "dG9wc2VjcmV0" not in told["message"] and "topsecret" not in told["message"]
        assert tenant.condition("Stalled")["reason"] == "NotAllowed", what
        assert tenant.status()["errors"][0]["file"] == "deploy/x.yaml"
        assert tenant.config_map("a") == {"step": "0"}, f"{what}: nothing of the commit is applied"
        tenant.wait_event("Warning", "NotAllowed", words[-1])
    assert "mine" not in api.get("Namespace", None, "kube-system")["metadata"]["labels"]
    assert api.get("ConfigMap", "kube-system", "theirs") is None
    tenant.push({"deploy/x.yaml": None})
    tenant.wait_applied()
    assert tenant.condition("Stalled") == {}, "nothing of a refusal is left"


def test_a_differ_that_does_not_keep_to_the_settings_achieves_nothing(tenancy, tenant, gitmoor, api):
    """As a stolen differ would: it plans what the applier's settings refuse."""
    tenancy.set(rule(tenant, targetNamespaces=["$namespace"], resources={"deny": ["core/services"]}), only=["applier"])
    refused = gitmoor.metric("applier", "gitmoor_applier_not_allowed_total")
    tenant.repository.commit({"deploy/a.yaml": config_map("a"), "deploy/s.yaml": SERVICE,
                              "deploy/x.yaml": config_map("x", namespace="kube-public")})
    tenant.make()
    tenant.wait_not_ready("deploy/s.yaml:1: Service", "deploy/x.yaml:1: ConfigMap kube-public/x", reason="NotAllowed")
    assert gitmoor.metric("applier", "gitmoor_applier_not_allowed_total") >= refused + 2
    assert tenant.config_map("a") is None, "of a plan with a refused object nothing is carried out"
    tenancy.set()
    tenant.wait_applied()
    assert tenant.config_map("x", "kube-public") is not None
    # Nor may it delete, or repair, what is outside.
    tenancy.set(rule(tenant, targetNamespaces=["$namespace"]), only=["applier"])
    api.patch("ConfigMap", "kube-public", "x", {"metadata": {"labels": {LABEL: f"{tenant.namespace}.shop"}}}, manager="e2e")
    tenant.push({"deploy/x.yaml": None})
    tenant.wait_not_ready("ConfigMap kube-public/x: cannot be deleted", "`targetNamespaces`", reason="NotAllowed")
    assert tenant.config_map("x", "kube-public") is not None


def test_what_the_applier_refuses_is_tried_again_and_needs_no_commit(tenancy, tenant, api):
    """Plans of all sorts, refused by the applier alone: nothing but time brings them back."""
    specs = {"whole": {}, "waves": {}, "hook": {}, "unchecked": {"preflight": "Off"}, "held": {"adopt": "IfApproved"},
             "deleted": {"deletionPolicy": "Delete"}, "healed": {"protection": "Off"}}
    files = {f"{name}/c.yaml": config_map(name, step="1") for name in specs}
    tenant.repository.commit(files | {"waves/later.yaml": in_wave(1, config_map("later")), "hook/job.yaml": job("first", "before")})
    tenant.name, tenant.path, tenant.spec = "healed", "healed", specs["healed"]
    tenant.make()
    shops = {"healed": tenant, "deleted": tenant.beside("deleted", "deleted", **specs["deleted"])}
    for shop in shops.values():
        shop.wait_applied()
    tenancy.set(rule(tenant, resources={"deny": ["core/configmaps", "batch/jobs"]}), only=["applier"])
    api.patch("ConfigMap", tenant.namespace, "healed", {"data": {"step": "edited"}}, manager="someone")
    api.delete("Application", tenant.namespace, "deleted")
    shops |= {name: tenant.beside(name, name, **spec) for name, spec in specs.items() if name not in shops}
    for name, shop in shops.items():
        told = shop.wait_not_ready("not allowed by the tenancy settings", reason="DeletionFailed" if name == "deleted" else "NotAllowed")
        assert "`resources.deny`" in told["message"]
        assert shop.condition("Reconciling")["reason"] == "ProgressingWithRetry" and not shop.condition("Stalled"), name
    tenancy.set(only=["applier"])
    wait_for(lambda: shops["deleted"].application() == {}, 90, what="the deletion")
    for name, shop in shops.items():
        if name != "deleted":
            shop.wait_applied(timeout=90)
            wait_for(lambda name=name: tenant.config_map(name) == {"step": "1"}, what=name)


def test_a_right_that_is_given_later_needs_no_commit(tenant, api):
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "late", "namespace": tenant.namespace}})
    tenant.repository.commit({"deploy/a.yaml": config_map("a")})
    tenant.spec["serviceAccountName"] = "late"
    tenant.make()
    tenant.wait_not_ready("deploy/a.yaml", "forbidden", f"system:serviceaccount:{tenant.namespace}:late", reason="Invalid")
    assert tenant.condition("Reconciling")["reason"] == "ProgressingWithRetry" and not tenant.condition("Stalled")
    api.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "late", "namespace": tenant.namespace},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
               "subjects": [{"kind": "ServiceAccount", "name": "late", "namespace": tenant.namespace}]})
    tenant.wait_applied(timeout=90)


def test_what_may_not_be_touched_any_more_is_left_in_place(tenancy, tenant):
    tenant.repository.commit({"deploy/a.yaml": config_map("a"), "deploy/x.yaml": config_map("left", namespace="kube-public")})
    tenant.make()
    tenant.wait_applied()
    tenancy.set(rule(tenant, targetNamespaces=["$namespace"]))
    tenant.wait_not_ready("ConfigMap kube-public/left", reason="NotAllowed")
    tenant.push({"deploy/x.yaml": None, "deploy/a.yaml": config_map("a", more="x")})
    tenant.wait_applied()
    told = wait_for(lambda: tenant.status().get("errors"), what="an error in the status")
    assert told[0]["object"] == "ConfigMap kube-public/left" and "left in place" in told[0]["message"]
    assert tenant.config_map("left", "kube-public") == {}
    tenancy.set()
    wait_for(lambda: tenant.config_map("left", "kube-public") is None, what="it deleted once it may be")


def test_a_repository_url_that_a_rule_refuses(tenancy, tenant, gitmoor):
    base = tenant.repository.url.rsplit("/", 1)[0]
    tenancy.set(rule(tenant, repositories=[f"{base}/other-*"]))
    tenant.repository.commit({"deploy/a.yaml": config_map("a")})
    tenant.make()
    tenant.wait_source("False", tenant.repository.url, '(rule "tenants", tenancy.yaml:2)', f"allows only {base}/other-*",
                       reason="NotAllowed")
    tenant.wait_source_event("Warning", "NotAllowed")
    tenant.wait_not_ready("is not allowed by the tenancy settings", reason="RepositoryNotReady")
    tenancy.set(rule(tenant, repositories=[f"{base}/*"]))
    tenant.wait_applied()
    tenancy.set(rule(tenant, repositories=[]))
    tenant.wait_source("False", "`repositories` allows none", reason="NotAllowed")
    tenant.repository.commit({"deploy/a.yaml": config_map("a", late="yes")})
    tenant.nudge()
    wait_for(lambda: condition(tenant.source(), "Stalled").get("reason") == "NotAllowed", what="the URL refused")
    assert tenant.config_map("a") == {}, "what is applied stays, and nothing new comes"


def test_a_source_of_another_namespace(tenancy, tenant, cluster, api):
    shared = cluster.new_namespace("shared")
    owner = Mooring(cluster, shared, tenant.repository, name="charts")
    tenant.repository.commit({"deploy/a.yaml": config_map("a")})
    owner.make_repository()
    owner.wait_source("True")
    body = sample.application(tenant.namespace, "shop", "charts", "deploy")
    body["spec"]["source"]["namespace"] = shared
    tenant.repository_name = "charts"
    api.apply(body)
    tenant.wait_not_ready(f"GitRepository {shared}/charts", "`sharedRepositories` allows none", reason="NotAllowed")
    tenancy.set(rule(tenant, sharedRepositories=[f"{shared}/other"]))
    tenant.wait_not_ready("`sharedRepositories` allows only", reason="NotAllowed")
    tenancy.set(rule(tenant, sharedRepositories=[f"{shared}/charts"]), only=["differ"])
    tenant.wait_not_ready("the applier could not execute the plan", f"GitRepository {shared}/charts", reason="NotAllowed")
    assert tenant.config_map("a") is None, "the applier looks at the source too"
    tenancy.set(rule(tenant, sharedRepositories=[f"{shared}/charts"]))
    tenant.wait_applied()
    tenant.repository.commit({"deploy/a.yaml": config_map("a", step="1")})
    owner.nudge()
    tenant.wait_applied()
    owner.remove()


def test_of_another_namespaces_application_only_readiness_is_told(tenant, cluster, make_repository):
    other = Mooring(cluster, cluster.new_namespace("shared"), make_repository())
    other.repository.commit({"deploy/a.yaml": "kind: hush-hush\n"})
    other.make()
    other.wait_not_ready("deploy/a.yaml")
    other.set(suspend=True)
    tenant.repository.commit({"deploy/a.yaml": config_map("a")})
    tenant.spec["dependsOn"] = [{"name": "shop", "namespace": other.namespace}]
    tenant.make()
    wait_for(lambda: "it is not ready" in tenant.condition().get("message", ""), what="it waits")
    assert "deploy/a.yaml" not in tenant.condition()["message"]
    other.remove()


def test_service_accounts(tenancy, tenant, api):
    def grant(name):
        api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": tenant.namespace}})
        api.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                   "metadata": {"name": name, "namespace": tenant.namespace},
                   "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
                   "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": tenant.namespace}]})

    grant("deployer")
    grant("admin")
    tenant.repository.commit({"deploy/a.yaml": config_map("a")})
    tenancy.set(rule(tenant, serviceAccounts=["deployer"]))
    tenant.make()
    tenant.wait_not_ready(f"service account {ACCOUNT}", "`serviceAccounts` allows only deployer", reason="NotAllowed")
    tenant.set(serviceAccountName="admin")
    tenant.wait_not_ready(f"service account {tenant.namespace}/admin", reason="NotAllowed")
    tenant.set(serviceAccountName="deployer")
    tenant.wait_applied()
    # The account of those that name none: its rights, and no others, count.
    tenancy.set(rule(tenant, serviceAccounts=["deployer"], defaultServiceAccount="deployer"))
    del tenant.spec["serviceAccountName"]
    api.delete("Application", tenant.namespace, "shop")
    wait_for(lambda: tenant.application() == {}, what="the Application gone")
    tenant.make_application()
    tenant.push({"deploy/a.yaml": config_map("a", step="1"), "deploy/r.yaml": ROLE})
    tenant.wait_not_ready(f"system:serviceaccount:{tenant.namespace}:deployer", "clusterroles", reason="Invalid")
    tenant.push({"deploy/r.yaml": None})
    tenant.wait_applied()
    assert tenant.config_map("a") == {"step": "1"}


def test_a_namespace_without_a_rule_may_use_nothing(tenancy, tenant, api):
    tenant.repository.commit({"deploy/a.yaml": config_map("a")})
    others = [each["metadata"]["name"] for each in api.list("Namespace") if each["metadata"]["name"] != tenant.namespace]
    tenancy.write_and_wait(json.dumps({"rules": [{"namespaces": others}]}))
    tenant.make()
    tenant.wait_source("False", "no rule of the tenancy settings (tenancy.yaml) is for this namespace", reason="NotAllowed")
    tenant.wait_not_ready(reason="NotAllowed")


def test_a_broken_file_leaves_the_settings_as_they_were(tenancy, tenant, gitmoor):
    tenancy.set(rule(tenant, resources={"deny": ["core/services"]}))
    tenancy.write_and_wait("rules:\n- namespaces: [a]\n  resource: {}\n", result="refused")
    for process in PROCESSES:
        assert gitmoor.metric(process, "gitmoor_tenancy_current") == 0
        log = gitmoor.processes[process].tail(40)
        assert 'those before stay in force' in log and 'tenancy.yaml:3: unknown field \\"resource\\"' in log
    tenant.repository.commit({"deploy/a.yaml": SERVICE})
    tenant.make()
    tenant.wait_not_ready("`resources.deny` names core/services", reason="NotAllowed")
    tenancy.set()
    tenant.wait_applied()
    assert all(gitmoor.metric(process, "gitmoor_tenancy_current") == 1 for process in PROCESSES)


def test_what_the_chart_makes_of_values_is_what_the_processes_read(tenancy, tmp_path):
    values = tmp_path / "values.yaml"
    values.write_text("""tenancy:
  rules:
    - {name: operators, namespaces: [gitmoor-system, platform-*]}
    - name: tenants
      namespaces: [team-*]
      repositories: ["https://git.example.org/$namespace/**", "*"]
      sharedRepositories: [platform-*/charts]
      targetNamespaces: [$namespace, $namespace-*]
      resources: {allow: ["*"], deny: [core/secrets, "*.example.org/*"]}
      clusterResources: {allow: []}
      serviceAccounts: [deployer, $namespace-*, gitmoor-system/gitmoor-default]
      defaultServiceAccount: gitmoor-system/gitmoor-default
    - namespaces: ["*"]
""")
    rendered = objects(Helm(tmp_path)("template", "gitmoor", CHART, "-f", values))
    (settings,) = [each for each in rendered if each["metadata"]["name"] == "gitmoor-tenancy"]
    tenancy.write_and_wait(settings["data"]["tenancy.yaml"])


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_starts_with_a_broken_file(process, gitmoor, tmp_path):
    file = tmp_path / "tenancy.yaml"
    file.write_text("rules: [{namespaces: [x], kinds: []}]\n")
    command = [word if word != str(gitmoor.tenancy.file(process)) else file for word in gitmoor.processes[process].command]
    command[command.index("--listen") + 1] = "127.0.0.1:0"
    command[command.index("--bus") + 1] = f"ipc://{tmp_path}/bus"
    started = Process("broken", command, tmp_path).start()
    assert started.child.wait(60) == 1
    assert 'tenancy settings: tenancy.yaml:1: unknown field "kinds"' in started.tail()


def test_a_differ_without_secrets(tenancy, tenant, gitmoor):
    differ = gitmoor.processes["differ"]
    tenant.repository.commit({"deploy/a.yaml": config_map("a"), "deploy/s.yaml": SECRET})
    differ.command.append("--without-secrets")
    try:
        differ.restart()
        gitmoor.wait_ready("differ")
        tenant.make()
        tenant.wait_not_ready("deploy/s.yaml:1: Secret", "keeps away from Secrets", reason="NotAllowed")
        tenant.push({"deploy/s.yaml": None})
        tenant.wait_applied()
    finally:
        differ.command.remove("--without-secrets")
        differ.restart()
        gitmoor.wait_ready("differ")
