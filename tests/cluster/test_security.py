"""What each process can do if it is taken over, what a stranger on the bus gets, and what a tenant reaches: nothing of others'."""
import base64
import json
import secrets

import pytest

from harness import sample
from harness.api import condition
from harness.cluster import PROCESSES, Kubectl
from harness.mooring import LABEL, Mooring, config_map
from harness.repository import Repository
from harness.waiting import wait_for
from installation import NAMESPACE

TREASURE = "do-not-leak-" + secrets.token_hex(8)


@pytest.fixture(scope="module")
def gitmoor(install):
    """Over TCP, and with the default of the chart: who names no service account writes as the namespace's `default`."""
    with install("split", **{"defaultServiceAccount.create": "false"}) as installation:
        yield installation


# ------------------------------------------------------------------------------- the processes

# (process, verb and resource …, namespace): what it would need to do harm with its own token.
FORBIDDEN = [
    *((process, *words) for process in PROCESSES for words in (
        ("create", "configmaps"), ("patch", "deployments.apps"), ("delete", "pods"), ("create", "pods"), ("create", "pods/exec"),
        ("create", "serviceaccounts/token"), ("create", "applications.gitmoor.io"), ("create", "gitrepositories.gitmoor.io"),
        ("create", "rolebindings.rbac.authorization.k8s.io"), ("escalate", "clusterroles.rbac.authorization.k8s.io"),
        ("impersonate", "users"), ("impersonate", "groups"), ("patch", "secrets"))),
    ("fetcher", "impersonate", "serviceaccounts"), ("fetcher", "patch", "applications.gitmoor.io/status"), ("fetcher", "list", "secrets"),
    ("fetcher", "get", "configmaps"), ("fetcher", "patch", "applications.gitmoor.io"),
    ("differ", "impersonate", "serviceaccounts"), ("differ", "patch", "gitrepositories.gitmoor.io/status"),
    ("differ", "patch", "applications.gitmoor.io"), ("admission", "patch", "applications.gitmoor.io"),
    ("applier", "get", "secrets"), ("applier", "patch", "applications.gitmoor.io/status"), ("applier", "list", "pods"),
    ("admission", "impersonate", "serviceaccounts"), ("admission", "get", "secrets"), ("admission", "list", "pods"),
]
# Reading these acts: kubelet takes a GET that becomes a WebSocket for exec, and what answers behind a proxy may do anything.
READING_THAT_ACTS = [(process, "get", resource) for process in PROCESSES for resource in (
    "nodes/proxy", "pods/exec", "pods/attach", "pods/proxy", "pods/portforward", "services/proxy")]
ALLOWED = [
    ("fetcher", "patch", "gitrepositories.gitmoor.io/status"), ("fetcher", "get", "secrets"),
    ("differ", "patch", "applications.gitmoor.io/status"), ("differ", "watch", "deployments.apps"),
    ("applier", "impersonate", "serviceaccounts"), ("applier", "watch", "applications.gitmoor.io"),
    ("applier", "patch", "applications.gitmoor.io"),  # the finalizer; whoever has it may act as any service account anyhow
    ("admission", "watch", "applications.gitmoor.io"),
]


@pytest.fixture(scope="module")
def review(gitmoor, node_cluster):
    """review(process, verb, resource) -> may it, asked with the token that the process holds."""
    tokens = {process: gitmoor.token(process) for process in PROCESSES}

    def ask(process, verb, resource):
        name, _, rest = resource.partition(".")
        resource_name, _, subresource = (name, "", "") if "/" not in name else name.partition("/")
        group = rest
        if "/" in rest:
            group, _, subresource = rest.partition("/")
        api = node_cluster.api()
        api.token = tokens[process]
        answer = api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {
                "namespace": "default", "verb": verb, "group": group, "resource": resource_name, "subresource": subresource}}})
        return answer["status"]["allowed"]

    return ask


def test_a_process_that_is_taken_over_may_do_only_its_own_work(review):
    wrong = [words for words in FORBIDDEN if review(*words)] + [("not", *words) for words in ALLOWED if not review(*words)]
    assert wrong == []


def test_what_a_process_may_read_runs_no_command(review):
    assert [words for words in READING_THAT_ACTS if review(*words)] == []


@pytest.mark.parametrize("process", ["fetcher", "differ", "admission"])
def test_a_stolen_token_writes_nothing(gitmoor, kubectl, node_cluster, tenants, process):
    """Beyond what the table says: it is tried. (The applier's acts as service accounts, which is its work.)"""
    token = gitmoor.token(process)
    for words in (["create", "configmap", "stolen", "-n", "blue"], ["delete", "configmap", "settings", "-n", "blue"],
                  ["create", "configmap", "stolen", "-n", "blue", "--as=system:serviceaccount:blue:deployer"],
                  ["patch", "application", "shop", "-n", "blue", "--type=merge", "-p", '{"spec":{"path":"x"}}'],
                  ["create", "token", "deployer", "-n", "blue"]):
        done = kubectl.run("--server", node_cluster.server, "--token", token, "--kubeconfig=/dev/null",
                           "--certificate-authority", node_cluster.authority.certificate, *words)
        assert done.returncode and "forbidden" in done.stderr.lower(), (words, done.stderr)
    tenants.unharmed()


def test_a_process_with_another_key_gets_nothing_from_the_bus(gitmoor, kubectl, node_cluster, tenants):
    """A fetcher in the place of the real one, with everything of it but the key: the differ never takes it for a peer."""
    api = node_cluster.api()
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong-key", "namespace": NAMESPACE},
               "stringData": {"fetcher-differ.key": secrets.token_hex(32)}})
    stranger = json.loads(kubectl("get", "deployment", "gitmoor-fetcher", "-n", NAMESPACE, "-o", "json"))
    stranger["metadata"] = {"name": "stranger", "namespace": NAMESPACE}
    stranger["spec"]["selector"]["matchLabels"]["stranger"] = stranger["spec"]["template"]["metadata"]["labels"]["stranger"] = "yes"
    for volume in stranger["spec"]["template"]["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            if "secret" in source:
                source["secret"]["name"] = "wrong-key"
    kubectl("scale", "-n", NAMESPACE, "deployment/gitmoor-fetcher", "--replicas=0")
    try:
        wait_for(lambda: not kubectl("get", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=fetcher", "-o", "name"),
                 what="the fetcher gone")
        api.apply({key: stranger[key] for key in ("apiVersion", "kind", "metadata", "spec")})
        revision = tenants.blue.push({"deploy/settings.yaml": config_map("settings", color="green")})
        wait_for(lambda: revision in kubectl.run("logs", "-n", NAMESPACE, "deployment/stranger").stdout, 60,
                 what="the stranger has fetched the commit")
        log = kubectl("logs", "-n", NAMESPACE, "deployment/stranger")
        assert "peer is up" not in log
        assert tenants.blue.status()["lastAppliedRevision"] != revision
        assert tenants.blue.config_map("settings") == {"color": "red"}
    finally:
        kubectl("delete", "deployment", "stranger", "-n", NAMESPACE)
        kubectl("delete", "secret", "wrong-key", "-n", NAMESPACE)
        kubectl("scale", "-n", NAMESPACE, "deployment/gitmoor-fetcher", "--replicas=1")
        gitmoor.wait_ready()
        tenants.blue.wait_applied(timeout=60)  # the same commit, from the real one
        tenants.blue.push({"deploy/settings.yaml": config_map("settings", color="red")})
        tenants.blue.wait_applied(timeout=60)


# ------------------------------------------------------------------------------- tenants

class Tenants:
    """`blue`, who is to be left alone, and `red`, whose people are malevolent. Each may do everything in its own namespace."""

    def __init__(self, cluster, git_server, folder):
        self.cluster, self.kubectl, self.git_server, self.folder = cluster, cluster.kubectl, git_server, folder
        for name in ("blue", "red"):
            self._make(name)
        self.blue_repository = Repository.create(git_server, folder, "blue")
        self.blue_repository.commit({"deploy/settings.yaml": config_map("settings", color="red")})
        self.blue = Mooring(cluster, "blue", self.blue_repository, serviceAccountName="deployer").make()
        self.blue.wait_applied(timeout=60)
        self.cluster.api().apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "treasure", "namespace": "blue"},
                                  "stringData": {"username": "blue", "password": TREASURE, "ca.crt": TREASURE}})
        self.before = self.picture()

    def _make(self, name):
        api = self.cluster.api()
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer", "namespace": name}})
        for binding, subject in (("deployer", {"kind": "ServiceAccount", "name": "deployer", "namespace": name}),
                                 ("people", {"kind": "User", "name": f"{name}-person", "apiGroup": "rbac.authorization.k8s.io"})):
            api.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                       "metadata": {"name": binding, "namespace": name},
                       "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
                       "subjects": [subject]})

    def picture(self):
        """What red must not change: blue's objects and everything that has no namespace."""
        listed = json.loads(self.kubectl("get", "configmaps,secrets,services,deployments,roles,rolebindings,serviceaccounts,"
                                         "applications,gitrepositories", "-n", "blue", "-o", "json"))["items"]
        listed += json.loads(self.kubectl("get", "namespaces,clusterroles,clusterrolebindings,customresourcedefinitions,"
                                          "validatingwebhookconfigurations", "-o", "json"))["items"]
        return {(found["kind"], found["metadata"]["name"]): [found["metadata"].get("labels"), found.get("data"), found.get("spec"),
                                                             found.get("rules"), found.get("subjects")]
                for found in listed if "deletionTimestamp" not in found["metadata"]  # on their way out already, after earlier tests
                and not found["metadata"]["name"].startswith("t-")}

    def unharmed(self):
        now = self.picture()
        changed = [key for key in {*now, *self.before} if now.get(key) != self.before.get(key)]
        assert changed == []
        told = self.kubectl("get", "applications,gitrepositories,events,configmaps", "-n", "red", "-o", "json")
        assert TREASURE not in told and base64.b64encode(TREASURE.encode()).decode() not in told, "blue's secret is told in red"

    def person(self, *words, stdin=None):
        """kubectl as one of red's people."""
        return Kubectl(self.cluster.kubeconfig("red-person")).run(*words, stdin=stdin)

    def red(self, files, name=None, **spec):
        """An Application of red with these files, written by one of its people."""
        name = name or f"a-{secrets.token_hex(3)}"
        repository = Repository.create(self.git_server, self.folder, name)
        repository.commit(files)
        mooring = Mooring(self.cluster, "red", repository, name=name, **{"serviceAccountName": "deployer", **spec})
        mooring.make_repository()
        done = self.person("apply", "-f", "-", stdin=json.dumps(
            sample.application("red", name, mooring.repository_name, "deploy", **mooring.spec)))
        assert done.returncode == 0, done.stderr
        return mooring


@pytest.fixture(scope="module")
def tenants(gitmoor, node_cluster, git_server, tmp_path_factory):
    made = Tenants(node_cluster, git_server, tmp_path_factory.mktemp("tenants"))
    yield made
    for namespace in ("red", "blue"):
        for application in json.loads(made.kubectl("get", "applications", "-n", namespace, "-o", "json"))["items"]:
            made.kubectl("delete", "application", "-n", namespace, application["metadata"]["name"])
        made.kubectl.run("delete", "namespace", namespace, "--wait=false")


def manifest(kind, name, version="v1", namespace=None, **rest):
    return json.dumps({"apiVersion": version, "kind": kind,
                       "metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, **rest})


RBAC = "rbac.authorization.k8s.io/v1"
TO_ADMIN = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
DEPLOYER = [{"kind": "ServiceAccount", "name": "deployer", "namespace": "red"}]

# What red commits to its own repository, applied as its own service account. None of it may be applied.
COMMITS = {
    "a ConfigMap into blue": (manifest("ConfigMap", "planted", namespace="blue"), {}),
    "a ConfigMap over blue's": (config_map("settings", "blue", color="stolen"), {}),
    "everything into blue by targetNamespace": (config_map("planted"), {"targetNamespace": "blue"}),
    "an Application into blue": (manifest("Application", "planted", "gitmoor.io/v1alpha1", "blue",
                                         spec={"source": {"repository": "shop"}}), {}),
    "a Role into blue": (manifest("Role", "planted", RBAC, "blue", rules=[]), {}),
    "a RoleBinding in blue for itself": (manifest("RoleBinding", "planted", RBAC, "blue", roleRef={**TO_ADMIN, "name": "view"},
                                                  subjects=DEPLOYER), {}),
    "cluster-admin for itself": (manifest("ClusterRoleBinding", "planted", RBAC, roleRef=TO_ADMIN, subjects=DEPLOYER), {}),
    "cluster-admin for itself in its namespace": (manifest("RoleBinding", "planted", RBAC, roleRef=TO_ADMIN, subjects=DEPLOYER), {}),
    "a Role that may more than its author": (manifest("Role", "planted", RBAC, rules=[
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]), {}),
    "a ClusterRole": (manifest("ClusterRole", "planted", RBAC, rules=[]), {}),
    "a Namespace": (manifest("Namespace", "planted"), {}),
    "blue's Namespace": (manifest("Namespace", "blue"), {}),
    "a CustomResourceDefinition": (json.dumps({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "plants.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced", "names": {"kind": "Plant", "plural": "plants"}, "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}), {}),
    "a webhook": (manifest("ValidatingWebhookConfiguration", "planted", "admissionregistration.k8s.io/v1", webhooks=[]), {}),
    "Gitmoor's own webhook": (manifest("ValidatingWebhookConfiguration", "gitmoor-admission", "admissionregistration.k8s.io/v1",
                                       webhooks=[]), {}),
    "a key of the bus": (manifest("Secret", "gitmoor-bus-differ-applier", namespace=NAMESPACE), {}),
    "an Event about blue": (manifest("Event", "planted", namespace="blue", reason="Planted", involvedObject={"namespace": "blue"}), {}),
    "as no service account, which is the default one": (config_map("planted"), {"serviceAccountName": None}),
    "as blue's service account": (config_map("planted"), {"serviceAccountName": "blue/deployer"}),
    "as blue's service account, by path": (config_map("planted"), {"serviceAccountName": "../../blue/serviceaccounts/deployer"}),
    "as blue's service account, by user name": (config_map("planted"), {"serviceAccountName": "system:serviceaccount:blue:deployer"}),
    "as Gitmoor's applier": (config_map("planted"), {"serviceAccountName": "gitmoor-applier"}),
    "as one who does not exist": (config_map("planted"), {"serviceAccountName": "nobody"}),
}


@pytest.mark.parametrize("attack", COMMITS)
def test_a_tenant_cannot_commit(tenants, attack):
    text, spec = COMMITS[attack]
    spec = {"serviceAccountName": "deployer", **spec}
    mooring = tenants.red({"deploy/attack.yaml": text}, **{key: value for key, value in spec.items()})
    mooring.wait_not_ready(timeout=30)
    assert mooring.config_map("planted") is None
    tenants.unharmed()
    mooring.remove()


# What red writes into its own GitRepository: (its spec, words of the condition).
SOURCES = {
    "a file of the fetcher": {"url": "file:///var/run/secrets/kubernetes.io"},
    "blue's credentials": {"secretRef": {"name": "blue/treasure"}},
    "blue's credentials, by path": {"secretRef": {"name": "../../blue/secrets/treasure"}},
    "credentials that only blue has": {"secretRef": {"name": "treasure"}},
}


@pytest.mark.parametrize("attack", SOURCES)
def test_a_tenant_cannot_fetch_with(tenants, attack):
    name = f"s-{secrets.token_hex(3)}"
    spec = {"url": tenants.git_server.url("blue"), **SOURCES[attack]}
    done = tenants.person("apply", "-f", "-", stdin=json.dumps({"apiVersion": "gitmoor.io/v1alpha1", "kind": "GitRepository",
                                                                "metadata": {"name": name, "namespace": "red"}, "spec": spec}))
    if done.returncode == 0:
        wait_for(lambda: condition(tenants.cluster.api().get("GitRepository", "red", name), "Ready").get("status") == "False",
                 what=f"{attack}: not Ready")
    tenants.unharmed()
    tenants.person("delete", "gitrepository", "-n", "red", name)


@pytest.mark.parametrize("repository", ["blue/shop", "../../blue/gitrepositories/shop", "shop"])
def test_a_tenant_cannot_use_the_repository_of_another(tenants, repository):
    name = f"b-{secrets.token_hex(3)}"
    done = tenants.person("apply", "-f", "-", stdin=json.dumps(sample.application("red", name, repository, "deploy",
                                                                                 serviceAccountName="deployer")))
    if done.returncode == 0:
        wait_for(lambda: condition(tenants.cluster.api().get("Application", "red", name), "Ready").get("status") == "False",
                 what="not Ready")
    assert tenants.cluster.api().get("ConfigMap", "red", "settings") is None
    tenants.unharmed()
    tenants.person("delete", "application", "-n", "red", name)


@pytest.mark.parametrize("target", ["/var/run/secrets/kubernetes.io/serviceaccount/token", "/proc/self/environ", "../../../../../../etc/passwd",
                                    "/etc/gitmoor/keys/differ-applier.key"])
def test_a_symbolic_link_leads_nowhere(tenants, target):
    name = f"l-{secrets.token_hex(3)}"
    repository = Repository.create(tenants.git_server, tenants.folder, name)
    repository.write({"deploy/good.yaml": config_map(f"good-{name}")})
    (repository.folder / "deploy" / "bad.yaml").symlink_to(target)
    repository.commit()
    mooring = Mooring(tenants.cluster, "red", repository, name=name, serviceAccountName="deployer").make()
    ready = mooring.wait_not_ready("bad.yaml", timeout=30)
    assert "eyJ" not in ready["message"] and "root:" not in ready["message"], "nothing of the file is told"
    assert mooring.config_map(f"good-{name}") is None
    mooring.remove()


def test_a_tenant_cannot_bypass_admission(tenants):
    """red has every right in its namespace, and may not edit what its own Git declares."""
    mooring = tenants.red({"deploy/settings.yaml": config_map("red-settings", color="red")})
    mooring.wait_applied(timeout=30)
    planted = {"apiVersion": "v1", "kind": "ConfigMap",
               "metadata": {"name": "planted", "namespace": "red", "labels": {LABEL: "blue.shop"}}}
    own = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "red-settings", "namespace": "red"}, "data": {"color": "blue"}}
    tenants.person("annotate", "configmap", "red-settings", "-n", "red", "gitmoor.io/break-glass-reason=because")  # helps nobody
    tries = [
        (["apply", "-f", "-"], json.dumps(planted)),  # claims to be blue's
        (["apply", "--server-side", "--field-manager=gitmoor", "--force-conflicts", "-f", "-"], json.dumps(own)),
        (["patch", "configmap", "red-settings", "-n", "red", "--type=merge", "-p", '{"data":{"color":"blue"}}'], None),
        (["patch", "configmap", "red-settings", "-n", "red", "--type=merge", "-p", '{"metadata":{"managedFields":[{}]}}'], None),
        (["delete", "configmap", "red-settings", "-n", "red"], None),
        (["--as=red-person", "--as-group=gitmoor:break-glass", "delete", "configmap", "red-settings", "-n", "red"], None),
        (["create", "token", "gitmoor-applier", "-n", NAMESPACE], None),
        (["delete", "validatingwebhookconfiguration", "gitmoor-admission"], None),
        (["patch", "application", mooring.name, "-n", "red", "--subresource=status", "--type=merge", "-p",
          '{"status":{"namespaces":["blue"]}}'], None),
        (["get", "secret", "gitmoor-bus-differ-applier", "-n", NAMESPACE], None),
    ]
    for words, stdin in tries:
        done = tenants.person(*words, stdin=stdin)
        assert done.returncode, f"{words} was allowed"
    assert mooring.config_map("red-settings") == {"color": "red"}
    tenants.unharmed()


def test_a_forged_label_in_git_becomes_the_own_one(tenants):
    text = json.loads(manifest("ConfigMap", "labelled"))
    text["metadata"]["labels"] = {LABEL: "blue.shop"}
    mooring = tenants.red({"deploy/labelled.yaml": json.dumps(text)})
    wait_for(lambda: condition(mooring.application(), "Ready").get("status") in ("True", "False"), what="judged")
    live = mooring.api.get("ConfigMap", "red", "labelled")
    assert live is None or live["metadata"]["labels"][LABEL] == f"red.{mooring.name}"
    tenants.unharmed()


# ------------------------------------------------------------------------------- the operator's settings

OTHER = "purple"  # where RBAC lets red's deployer write


def grant_more(tenants, account="deployer"):
    """What RBAC alone would let red's account do beyond its namespace."""
    api = tenants.cluster.api()
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OTHER}})
    subject = [{"kind": "ServiceAccount", "name": account, "namespace": "red"}]
    api.apply({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": account, "namespace": OTHER},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}, "subjects": subject})
    api.apply({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "t-more"}, "rules": [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "create", "patch", "delete"]},
        {"apiGroups": ["scheduling.k8s.io"], "resources": ["priorityclasses"], "verbs": ["get", "create", "patch", "delete"]}]})
    api.apply({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": "t-more"},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "t-more"}, "subjects": subject})
    for name in ("second", "deployer"):
        api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "red"}})
    api.apply({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": "second", "namespace": "red"},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
               "subjects": [{"kind": "ServiceAccount", "name": "second", "namespace": "red"}]})


@pytest.fixture(scope="module")
def ruled(gitmoor, tenants, kubectl):
    """red under a rule, everybody else not; RBAC allows red more than the rule does."""
    grant_more(tenants)
    base = tenants.git_server.url("x").removesuffix("/x.git")
    gitmoor.upgrade(**{
        "tenancy.rules[0].name": "red", "tenancy.rules[0].namespaces": "{red}", "tenancy.rules[0].repositories": f"{{{base}/a-*}}",
        "tenancy.rules[0].targetNamespaces": "{$namespace}", "tenancy.rules[0].serviceAccounts": "{deployer}",
        "tenancy.rules[0].resources.deny": "{core/secrets,rbac.authorization.k8s.io/*}",
        "tenancy.rules[0].clusterResources.allow": "{core/namespaces}",
        "tenancy.rules[1].namespaces": "{blue,default,t-*}"})
    gitmoor.wait_ready()
    yield gitmoor
    kubectl.run("delete", "namespace", OTHER, "--wait=false")
    kubectl.run("delete", "clusterrole,clusterrolebinding", "t-more")


# What RBAC allows and the rule does not: (manifest, spec of the Application, words of the refusal).
RULED = {
    "a Secret in its own namespace": (manifest("Secret", "planted"), {}, "`resources.deny` names core/secrets"),
    "a Role in its own namespace": (manifest("Role", "planted", RBAC, rules=[]), {}, "`resources.deny`"),
    "into a namespace that RBAC opens": (manifest("ConfigMap", "planted", namespace=OTHER), {}, "`targetNamespaces` allows only $namespace"),
    "the same by targetNamespace": (config_map("planted"), {"targetNamespace": OTHER}, "`targetNamespaces`"),
    "a Namespace": (manifest("Namespace", "planted"), {}, "`targetNamespaces`"),
    "a PriorityClass": (manifest("PriorityClass", "planted", "scheduling.k8s.io/v1", value=1), {}, "`clusterResources.allow`"),
    "as another account of its own": (config_map("planted"), {"serviceAccountName": "second"}, "`serviceAccounts` allows only deployer"),
    "as no account, which is the default one": (config_map("planted"), {"serviceAccountName": None}, "service account red/default"),
}


def not_there(tenants):
    for namespace in ("red", OTHER):
        assert tenants.cluster.api().get("ConfigMap", namespace, "planted") is None
    assert tenants.cluster.api().get("Secret", "red", "planted") is None
    for kind in ("namespace/planted", "priorityclass/planted", "role/planted -n red"):
        assert tenants.kubectl.run("get", *kind.split()).returncode


@pytest.mark.parametrize("attack", RULED)
def test_a_tenant_is_held_to_the_operators_rule(ruled, tenants, attack):
    text, spec, words = RULED[attack]
    mooring = tenants.red({"deploy/attack.yaml": text}, **spec)
    mooring.wait_not_ready(words, reason="NotAllowed", timeout=60)
    not_there(tenants)
    mooring.remove()


def test_a_tenant_fetches_from_nowhere_else(ruled, tenants):
    """blue's repository is open to everybody on the Git server; `a-…` are red's."""
    for url, reason in ((tenants.git_server.url("blue"), "NotAllowed"),
                        (tenants.git_server.url("a-x").replace("/a-x", "/a-x/../blue"), "NotAllowed")):
        name = f"s-{secrets.token_hex(3)}"
        done = tenants.person("apply", "-f", "-", stdin=json.dumps(sample.git_repository("red", name, url)))
        assert done.returncode == 0, done.stderr
        wait_for(lambda name=name, reason=reason: condition(tenants.cluster.api().get("GitRepository", "red", name),
                                                            "Ready").get("reason") == reason, what=f"{url} refused")
        tenants.person("delete", "gitrepository", "-n", "red", name)


def test_a_tenant_uses_no_source_of_another_namespace(ruled, tenants):
    name = f"b-{secrets.token_hex(3)}"
    body = sample.application("red", name, tenants.blue.repository_name, "deploy", serviceAccountName="deployer")
    body["spec"]["source"]["namespace"] = "blue"
    assert tenants.person("apply", "-f", "-", stdin=json.dumps(body)).returncode == 0
    wait_for(lambda: condition(tenants.cluster.api().get("Application", "red", name), "Ready").get("reason") == "NotAllowed",
             what="the source refused")
    assert tenants.cluster.api().get("ConfigMap", "red", "settings") is None
    tenants.person("delete", "application", "-n", "red", name)


def test_a_tenant_cannot_change_the_rules(ruled, tenants):
    for words in (["patch", "configmap", "gitmoor-tenancy", "-n", NAMESPACE, "--type=merge", "-p", '{"data":{"tenancy.yaml":""}}'],
                  ["get", "configmap", "gitmoor-tenancy", "-n", NAMESPACE],
                  ["set", "env", "deployment/gitmoor-applier", "-n", NAMESPACE, "GITMOOR_TENANCY="]):
        assert tenants.person(*words).returncode, words


def test_a_differ_that_is_taken_over_cannot_let_a_tenant_out(ruled, tenants, kubectl):
    """It runs without the rules, as a thief would have it: what it plans is refused by the applier."""
    deployment = json.loads(kubectl("get", "deployment", "gitmoor-differ", "-n", NAMESPACE, "-o", "json"))
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    rules = next(word for word in arguments if word.startswith("--tenancy="))

    def run_with(words):
        kubectl("patch", "deployment", "gitmoor-differ", "-n", NAMESPACE, "--type=json", "-p", json.dumps(
            [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": words}]))
        ruled.wait_ready()

    run_with([word for word in arguments if word != rules])
    try:
        mooring = tenants.red({"deploy/good.yaml": config_map("planted"), "deploy/secret.yaml": manifest("Secret", "planted"),
                               "deploy/there.yaml": manifest("ConfigMap", "planted", namespace=OTHER)})
        mooring.wait_not_ready("Secret red/planted", f"ConfigMap {OTHER}/planted", reason="NotAllowed", timeout=60)
        assert ruled.metric("applier", "gitmoor_applier_not_allowed_total") >= 2
        not_there(tenants)
        mooring.remove()
    finally:
        run_with(arguments)


def test_a_rule_changes_without_a_restart(ruled, tenants):
    """kubelet updates the mounted file within its sync period."""
    mooring = tenants.red({"deploy/secret.yaml": manifest("Secret", "allowed-later")})
    mooring.wait_not_ready("`resources.deny`", reason="NotAllowed", timeout=60)
    before = {pod["metadata"]["uid"] for process in PROCESSES for pod in ruled.pods(process)}
    ruled.upgrade(**{"tenancy.rules[0].resources.deny": "{rbac.authorization.k8s.io/*}"})
    mooring.wait_applied(timeout=180)
    assert before == {pod["metadata"]["uid"] for process in PROCESSES for pod in ruled.pods(process)}
    mooring.remove()
