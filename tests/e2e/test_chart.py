"""The chart: what it renders, what it refuses, what the rights are, and a life in a cluster from installation to removal.

The cluster is a real control plane with a stand-in for the node, so Pods become Ready though nothing runs in them; tests/cluster
installs the chart on a node.
"""
import base64
import contextlib
import json
import re
import shutil
import subprocess
from collections import Counter

import pytest
import yaml

from harness import paths
from harness.api import ApiError, now_rfc3339, path_of
from harness.cluster import PROCESSES, Cluster, write_kubeconfig
from harness.helm import CHART, Helm, objects
from harness.waiting import wait_for

NAMESPACE = "gitmoor-system"
# Everything that values can turn on.
VARIANTS = {
    "nothing": [],
    "split": ["topology=split"],
    "all": ["topology=split", "serviceMonitor.enabled=true", "prometheusRule.enabled=true", "dashboard.enabled=true",
            "defaultServiceAccount.create=true",
            "fetcher.autoscaling.enabled=true", "differ.autoscaling.enabled=true", "applier.autoscaling.enabled=true",
            "admission.autoscaling.enabled=true", "fetcher.secretNamespaces={shop,bank}", "image.pullSecrets={pull}",
            "networkPolicy.git.cidrs={192.0.2.0/24}", "networkPolicy.git.ports={443,22}",
            "networkPolicy.apiServer.cidrs={198.51.100.1/32}", "nodeSelector.pool=infra",
            "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
            "tolerations[0].operator=Exists", "podLabels.team=platform", "podAnnotations.note=x", "bus.rotation=1",
            "admission.extraArgs={--webhook-connections=64}", "admission.floor=true",
            "tenancy.rules[0].namespaces={team-*}", "tenancy.rules[0].targetNamespaces={$namespace}", "differ.secrets=false",
            "health.checks[0].group=example.org", "health.checks[0].kind=Database", "health.checks[0].otherwise=Kstatus",
            "differ.apiGroups={example.org}"],
    "least": ["podDisruptionBudget.enabled=false", "networkPolicy.enabled=false", "priorityClass.create=false",
              "priorityClass.name=", "crds.install=false", "rbac.aggregate=false", "bus.createKeys=false"],
    "ipv6": ["topology=split", "bindAddress=[::]"],
}


def flags(sets):
    return [flag for value in sets for flag in ("--set", value)]


@pytest.fixture(scope="module")
def helm(tmp_path_factory):
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def render(helm):
    """render("topology=split", …) -> objects, hooks included."""
    def make(*sets, namespace=NAMESPACE):
        return objects(helm("template", "gitmoor", CHART, "--namespace", namespace, *flags(sets)))
    return make


def of_kind(found, kind, name=None):
    return [each for each in found if each["kind"] == kind and name in (None, each["metadata"]["name"])]


def one(found, kind, name):
    (match,) = of_kind(found, kind, name)
    return match


def pod_specs(found):
    """name -> Pod spec of everything that makes Pods."""
    return {f"{each['kind']} {each['metadata']['name']}": each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
            for each in found if each["kind"] in ("Pod", "Job", "Deployment")}


def containers(found):
    """process -> (Pod spec, container), of the four."""
    return {container["name"]: (spec, container) for spec in pod_specs(of_kind(found, "Deployment")).values()
            for container in spec["containers"]}


# ------------------------------------------------------------------------------- what is rendered

@pytest.mark.parametrize("topology", ["split", "sidecar"])
def test_health_rules_are_mounted_for_the_differ(render, topology):
    found = render(f"topology={topology}", "health.checks[0].group=example.org", "health.checks[0].kind=Database",
                   "health.checks[0].rules[0].status=Current", "health.checks[0].rules[0].conditions[0].type=Ready")
    text = one(found, "ConfigMap", "gitmoor-health")["data"]["rules.yaml"]
    assert yaml.safe_load(text)["checks"] == [{"group": "example.org", "kind": "Database", "rules": [
        {"status": "Current", "conditions": [{"type": "Ready"}]}]}]
    for process, (spec, container) in containers(found).items():
        mounts = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "health"]
        file = [each for each in container["args"] if each.startswith("--health-rules=")]
        if process == "differ":
            assert file == [f"--health-rules={mounts[0]}/rules.yaml"]
            assert {"name": "health", "configMap": {"name": "gitmoor-health"}} in spec["volumes"]
        else:
            assert not mounts and not file
    assert not of_kind(render(), "ConfigMap", "gitmoor-health")


@pytest.mark.parametrize("variant", VARIANTS)
def test_lint(helm, variant):
    done = helm.run("lint", CHART, "--strict", *flags(VARIANTS[variant]))
    assert done.returncode == 0, done.stdout + done.stderr


def kubeconform(folder, text):
    return subprocess.run([paths.control_plane("kubeconform"), "-strict", "-skip", "ServiceMonitor,PrometheusRule", "-schema-location",
                           str(folder / "{{ .ResourceKind }}{{ .KindSuffix }}.json"), "-"],
                          input=text, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_last_four_minors_know_every_field(helm, variant):
    folders = sorted((paths.cache() / "schemas").glob("v1.*"))
    assert len(folders) == 4, "scripts/setup helm makes them"
    text = helm("template", "gitmoor", CHART, *flags(VARIANTS[variant]))
    for folder in folders:
        done = kubeconform(folder, text)
        assert done.returncode == 0, f"{folder.name}: {done.stdout}"
        broken = kubeconform(folder, text.replace("automountServiceAccountToken: false", "automountServiceAccountTokens: false"))
        assert broken.returncode != 0, "the check itself finds a field that is wrong"


REFUSED = {
    "a topology that there is not": "topology=both",
    "a word that is misspelt": "toplogy=split",
    "a word below that is misspelt": "fetcher.replica=2",
    "a log level": "logLevel=loud",
    "a negative number of replicas": "differ.replicas=-1",
    "two Pods that would do the same": "sidecar.replicas=2",
    "a failure policy": "admission.failurePolicy=Perhaps",
    "a webhook timeout that is too long": "admission.webhookTimeout=30s",
    "a size without a unit that is known": "fetcher.maxRepositorySize=1GB",
    "a duration without a unit": "differ.renderTimeout=2",
    "a digest that is none": "image.digests.fetcher=latest",
    "a digest for an image that there is not": "image.digests.fecther=sha256:" + "0" * 64,
    "a name as address": "bindAddress=localhost",
    "a generator by a relative path": "differ.generators[0].command={hcl},differ.generators[0].name=hcl",
    "a misspelt field of a tenancy rule": "tenancy.rules[0].namespace={a}",
    "a kind in the place of a resource": "tenancy.rules[0].resources.deny={apps/Deployment}",
    "a misspelt field of a health check": "health.checks[0].otherwize=Kstatus",
    "a port that is none": "networkPolicy.git.ports={70000}",
    "an argument that is no flag": "applier.extraArgs={window-max=3}",
    "a service account with two slashes": "defaultServiceAccount.name=a/b/c",
    "a priority class that is no name": "priorityClass.name=Very High",
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_values_are_refused(helm, case):
    value = REFUSED[case]
    done = helm.run("template", "gitmoor", CHART, "--set", value)
    assert done.returncode != 0 and "schema" in done.stderr
    last = value.split("=")[0].split(".")[-1].split("{")[0]
    assert last in done.stderr or value.split("=")[0].split(".")[-2] in done.stderr, done.stderr


OWN = {"podLabels": "app.kubernetes.io/component", "podAnnotations": "gitmoor.io/generators", "dashboard.labels": "helm.sh/chart",
       "serviceMonitor.labels": "app.kubernetes.io/name", "prometheusRule.labels": "app.kubernetes.io/instance"}


@pytest.mark.parametrize("value", OWN)
def test_what_the_chart_labels_itself_cannot_be_replaced(helm, value):
    """Pods are found by labels; and a key that stands twice is no YAML."""
    key = OWN[value].replace(".", r"\.")
    sets = (f"{value}.{key}=x", "serviceMonitor.enabled=true", "prometheusRule.enabled=true", "dashboard.enabled=true")
    done = helm.run("template", "gitmoor", CHART, *flags(sets))
    assert done.returncode and f"{value}: {OWN[value]} is the chart's own" in done.stderr
    beside = objects(helm("template", "gitmoor", CHART, *flags([sets[0].replace("x", "y").replace(key, "team"), *sets[1:]])))
    assert "team: y" in yaml.safe_dump(beside)


def test_values_that_yaml_would_take_for_something_else(helm):
    found = objects(helm("template", "gitmoor", CHART, "--set-string", "priorityClass.name=yes", "--set", "fetcher.resources=null"))
    assert one(found, "PriorityClass", "yes")
    (spec, fetcher) = containers(found)["fetcher"]
    assert spec["priorityClassName"] == "yes" and "resources" not in fetcher and "resources" in containers(found)["differ"][1]


def test_fewer_replicas_at_most_than_at_least_are_refused(helm):
    done = helm.run("template", "gitmoor", CHART, *flags(["topology=split", "differ.autoscaling.enabled=true", "differ.autoscaling.minReplicas=9"]))
    assert done.returncode != 0 and "differ.autoscaling: minReplicas is larger than maxReplicas" in done.stderr


def test_values_and_schema_name_the_same():
    values, schema = yaml.safe_load((CHART / "values.yaml").read_text()), json.loads((CHART / "values.schema.json").read_text())

    def check(value, rule, path):
        if "$ref" in rule:
            rule = schema["definitions"][rule["$ref"].rsplit("/", 1)[1]]
        if isinstance(value, dict) and "properties" in rule:
            assert set(value) == set(rule["properties"]) - {"global"}, f"values.yaml and the schema differ at {path or 'the top'}"
            for key, inner in value.items():
                check(inner, rule["properties"][key], f"{path}.{key}")

    check(values, schema, "")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("process", PROCESSES)
def test_every_process_takes_its_flags(render, variant, process):
    arguments = containers(render(*VARIANTS[variant]))[process][1]["args"]

    def run(*more):
        return subprocess.run([paths.gitmoor_bin() / f"gitmoor-{process}", *arguments, *more, "--help"], capture_output=True, text=True,
                              check=False)

    done, refused = run(), run("--no-such")
    assert done.returncode == 0, done.stderr
    assert refused.returncode == 1, "the check itself finds a flag that there is not"


@pytest.mark.parametrize("process", PROCESSES)
def test_defaults_are_those_of_the_programs(render, process):
    """Where the chart has a reason for another, it is listed here."""
    others = {"listen": "probes come from the node", "memory-dir": "/dev/shm is the whole Pod's"}
    told = subprocess.run([paths.gitmoor_bin() / f"gitmoor-{process}", "--help"], capture_output=True, text=True, check=True).stdout
    defaults = dict(re.findall(r"^  --([a-z-]+) .*; default: (.*)\)$", told, re.MULTILINE))
    given = dict(argument[2:].split("=", 1) for argument in containers(render())[process][1]["args"])
    compared = given.keys() & defaults.keys() - others.keys()
    assert len(compared) >= 3
    assert {flag: given[flag] for flag in compared} == {flag: defaults[flag] for flag in compared}


LINKS = {"fetcher": {"differ"}, "differ": {"fetcher", "applier", "admission"}, "applier": {"differ"}, "admission": {"differ"}}


def test_the_links_are_those_of_the_bus(render):
    """bus.h names the links; the flags, the keys and the NetworkPolicies follow. With split, peers are found by Leases."""
    names = re.search(r"enum bus_link \{([^}]*)\}", (paths.ROOT / "common/bus/bus.h").read_text()).group(1)
    links = {tuple(name.strip().removeprefix("BUS_").lower().split("_")) for name in names.split(",") if "LINKS" not in name}
    assert {frozenset(link) for link in links} == {frozenset((left, right)) for left, peers in LINKS.items() for right in peers}
    for variant in ("nothing", "split"):
        for process, (spec, container) in containers(render(*VARIANTS[variant])).items():
            given = {argument[2:].split("=")[0] for argument in container["args"]}
            peers = LINKS[process] if variant == "nothing" else set()
            assert given & set(PROCESSES) == peers | ({"applier"} if process == "admission" else set())
            assert ({"lease-namespace", "bus-advertise", "pod-uid"} <= given) == (variant == "split")
            (mount,) = [each["name"] for each in container["volumeMounts"] if each["mountPath"] == "/etc/gitmoor/keys"]
            (volume,) = [each for each in spec["volumes"] if each["name"] == mount]
            assert {source["secret"]["name"] for source in volume["projected"]["sources"]} == {
                f"gitmoor-bus-{'-'.join(link)}" for link in links if process in link}


def test_network_policies_allow_the_link_table_and_nothing_else(render):
    found = render("topology=split")
    for process in PROCESSES:
        policy = one(found, "NetworkPolicy", f"gitmoor-{process}")["spec"]
        assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == process

        def peers(rules, side, *ports):
            return {peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for rule in rules
                    for peer in rule.get(side, []) if "podSelector" in peer and [port["port"] for port in rule["ports"]] == list(ports)}

        assert peers(policy["ingress"], "from", "bus", "bus-blobs") == LINKS[process]
        assert peers(policy["egress"], "to", "bus", "bus-blobs") == LINKS[process]
        assert peers(policy["ingress"], "from", f"http-{process}") == {"test"}, "helm test asks for metrics"
        assert len([rule for rule in policy["ingress"] if "from" in rule]) == 2
        open_in = [rule["ports"] for rule in policy["ingress"] if "from" not in rule]
        assert open_in == ([[{"protocol": "TCP", "port": "webhook"}]] if process == "admission" else [])
        anywhere = [rule for rule in policy["egress"] if "ports" not in rule]
        assert bool(anywhere) == (process == "fetcher"), "only the fetcher may reach any address at any port, for Git"
        ports = {port["port"] for rule in policy["egress"] for port in rule.get("ports", []) if "to" not in rule}
        assert ports == {443, 6443, 53}


def test_an_autoscaler_decides_how_many_there_are(render):
    """A number in the Deployment would be put back by each upgrade. The load is told in parts of what is requested."""
    found = render("topology=split", "differ.autoscaling.enabled=true", "differ.autoscaling.minReplicas=2", "differ.replicas=3", "applier.replicas=3")
    for process in PROCESSES:
        spec = one(found, "Deployment", f"gitmoor-{process}")["spec"]
        scalers = of_kind(found, "HorizontalPodAutoscaler", f"gitmoor-{process}")
        assert len(scalers) == (process == "differ") and ("replicas" in spec) == (process != "differ"), process
    assert one(found, "Deployment", "gitmoor-applier")["spec"]["replicas"] == 3
    scaler = one(found, "HorizontalPodAutoscaler", "gitmoor-differ")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gitmoor-differ"}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 4)
    assert containers(found)["differ"][1]["resources"]["requests"]["cpu"]
    assert not of_kind(render("differ.autoscaling.enabled=true"), "HorizontalPodAutoscaler"), "the one Pod of sidecar is never two"


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_budget_never_stops_a_drain(render, variant):
    """Of one replica it may go; of several one after the other."""
    found = render(*VARIANTS[variant])
    budgets = of_kind(found, "PodDisruptionBudget")
    assert len(budgets) == (0 if variant == "least" else len(of_kind(found, "Deployment")))
    for budget in budgets:
        selector = one(found, "Deployment", budget["metadata"]["name"])["spec"]["selector"]
        assert budget["spec"] == {"maxUnavailable": 1, "selector": selector}


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_installs_under_any_name_into_any_namespace(helm, variant):
    text = helm("template", "anchor", CHART, "--namespace", "harbour", *flags(VARIANTS[variant]))
    assert NAMESPACE not in text
    found = objects(text)
    others = {"gitmoor-test", *(("shop", "bank") if variant == "all" else ())}
    assert {each["metadata"]["namespace"] for each in found if "namespace" in each["metadata"]} == {"harbour", *others}
    subjects = [subject for each in found if each["kind"].endswith("Binding") for subject in each["subjects"]]
    assert len(subjects) > 8 and {subject["namespace"] for subject in subjects} == {"harbour"}
    pods = [each["spec"]["template"]["metadata"]["labels"].items() for each in of_kind(found, "Deployment")]
    selectors = [each["spec"]["selector"] for each in of_kind(found, "Service")] + [
        each["spec"].get("podSelector", each["spec"].get("selector"))["matchLabels"]
        for each in found if each["kind"] in ("Deployment", "PodDisruptionBudget", "NetworkPolicy")]
    for selector in selectors:
        assert selector["app.kubernetes.io/instance"] == "anchor" and any(selector.items() <= labels for labels in pods)


def test_tenancy_settings_are_mounted_where_they_are_enforced(render):
    found = render("topology=split", "tenancy.rules[0].namespaces={team-*}", "tenancy.rules[0].targetNamespaces={$namespace}")
    text = one(found, "ConfigMap", "gitmoor-tenancy")["data"]["tenancy.yaml"]
    assert yaml.safe_load(text)["rules"] == [{"namespaces": ["team-*"], "targetNamespaces": ["$namespace"]}]
    for process, (spec, container) in containers(found).items():
        mounts = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "tenancy"]
        file = [each for each in container["args"] if each.startswith("--tenancy=")]
        if process == "admission":
            assert not mounts and not file
        else:
            assert file == [f"--tenancy={mounts[0]}/tenancy.yaml"]
            assert {"name": "tenancy", "configMap": {"name": "gitmoor-tenancy"}} in spec["volumes"]
    assert not of_kind(render(), "ConfigMap", "gitmoor-tenancy")


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_decrypted_stands_in_memory(render, variant):
    found = render(*VARIANTS[variant])
    spec, container = containers(found)["differ"]
    (folder,) = [flag.partition("=")[2] for flag in container["args"] if flag.startswith("--memory-dir=")]
    (name,) = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == folder]
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == name]
    assert volume["emptyDir"]["medium"] == "Memory" and volume["emptyDir"]["sizeLimit"]
    others = [mount for process, (_, other) in containers(found).items() if process != "differ" for mount in other["volumeMounts"]]
    assert name not in [mount["name"] for mount in others], "no other container sees it"


def test_generators_are_settings_of_the_differ(render):
    """As docs/generators.md has them, with an image as the volume that brings the program."""
    found = render("differ.generators[0].name=hcl", "differ.generators[0].command={/opt/hcl/hcl-render,-q}", "differ.extraVolumes[0].name=hcl",
                   "differ.extraVolumes[0].image.reference=example.org/hcl:1", "differ.extraVolumeMounts[0].name=hcl",
                   "differ.extraVolumeMounts[0].mountPath=/opt/hcl")
    text = one(found, "ConfigMap", "gitmoor-generators")["data"]["generators.yaml"]
    assert yaml.safe_load(text) == {"generators": [{"name": "hcl", "command": ["/opt/hcl/hcl-render", "-q"]}]}
    spec, container = containers(found)["differ"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "generators"]
    assert f"--generators={mount['mountPath']}/generators.yaml" in container["args"]
    assert {"name": "hcl", "mountPath": "/opt/hcl"} in container["volumeMounts"] and {"name": "hcl", "image": {"reference": "example.org/hcl:1"}} in spec["volumes"]
    assert not of_kind(render(), "ConfigMap", "gitmoor-generators")


@pytest.mark.parametrize("variant", VARIANTS)
def test_pods_are_locked_down(render, variant):
    found = render(*VARIANTS[variant])
    specs = pod_specs(found)
    assert len(specs) >= 3
    for name, spec in specs.items():
        assert spec["securityContext"]["runAsUser"] == 65532 and not spec.get("hostNetwork"), name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] and context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["requests"] and container["resources"]["limits"]["memory"], name


def test_a_container_holds_no_token_but_its_own(render):
    """With sidecar too, where the Pod's account is the applier's."""
    for variant in ("nothing", "split"):
        for process, (spec, container) in containers(render(*VARIANTS[variant])).items():
            assert spec["automountServiceAccountToken"] is False
            mounted = {each["name"] for each in container["volumeMounts"]}
            tokens = [each for each in spec["volumes"] if each["name"] in mounted and each["name"].startswith("token-")]
            (volume,) = tokens
            if "secret" in volume:
                secret = one(render(*VARIANTS[variant]), "Secret", volume["secret"]["secretName"])
                assert secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] == f"gitmoor-{process}"
            else:
                assert spec["serviceAccountName"] == f"gitmoor-{process}"


def test_helm_test_may_do_what_it_tries_and_no_more(render):
    """It creates three objects and a ConfigMap in a namespace of its own, and lists Pods beside the processes."""
    own = {(kind, name, verb) for kind in ("gitrepositories", "helmrepositories", "applications")
           for name, verbs in (("", ["create"]), ("gitmoor-check", ["get", "delete"])) for verb in verbs}
    wanted = {NAMESPACE: {("pods", "", "list")}, "gitmoor-test": {("configmaps", "", "create")} | own}
    found = render()
    given = {role["metadata"]["namespace"]: {(resource, name, verb) for rule in role["rules"] for resource in rule["resources"]
                                             for name in rule.get("resourceNames", [""]) for verb in rule["verbs"]}
             for role in of_kind(found, "Role", "gitmoor-test")}
    assert given == wanted
    bound = [each for each in found if each["kind"].endswith("Binding") and "gitmoor-test" in json.dumps(each["subjects"])]
    assert {(each["kind"], each["metadata"]["namespace"], each["roleRef"]["name"]) for each in bound} == {
        ("RoleBinding", namespace, "gitmoor-test") for namespace in wanted}


def test_names_of_other_services_do_not_become_settings(render):
    """A Service called gitmoor would set GITMOOR_SERVICE_PORT in every Pod that takes service links."""
    for variant in VARIANTS:
        assert all(not spec["enableServiceLinks"] for spec in pod_specs(render(*VARIANTS[variant])).values())


@pytest.mark.parametrize("variant, address", [("split", "tcp://$(POD_IP):7001"), ("ipv6", "tcp://[$(POD_IP)]:7001")])
def test_each_replica_tells_the_address_of_its_pod(render, variant, address):
    for _, container in containers(render(*VARIANTS[variant])).values():
        assert f"--bus-advertise={address}" in container["args"] and f"--lease-namespace={NAMESPACE}" in container["args"]
        fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container["env"]}
        assert fields == {"POD_NAME": "metadata.name", "POD_UID": "metadata.uid", "POD_IP": "status.podIP"}


def exported_metrics():
    """name -> labels, as the sources declare them."""
    found = {}
    for folder in ("fetcher", "differ", "applier", "admission", "common/run"):
        for path in (paths.ROOT / folder).glob("*.c"):
            for body in re.findall(r"struct metric \w+ = \{(.*?)\};", path.read_text(), re.S):
                name = re.search(r'\.name = "(\w+)"', body).group(1)
                found[name] = set(re.findall(r'\.(?:second_)?label = "(\w+)"', body))
    return found


def metrics_of(expression):
    return {re.sub(r"_bucket$", "", metric) for metric in re.findall(r"\b(?:gitmoor|process)_[a-z_]+", expression)}


def test_without_values_nothing_asks_for_what_a_small_cluster_lacks(render):
    """Prometheus' operator, Grafana, a metrics server; and nobody is made cluster-admin."""
    found = render()
    assert not [each for kind in ("ServiceMonitor", "PrometheusRule", "HorizontalPodAutoscaler", "ConfigMap") for each in of_kind(found, kind)]
    assert {each["roleRef"]["name"].split("-")[0] for each in found if each["kind"].endswith("Binding")} == {"gitmoor"}
    assert [service["metadata"]["name"] for service in of_kind(found, "Service")] == ["gitmoor-admission"]


def test_the_dashboard_shows_metrics_that_exist(render):
    board = json.loads(one(render("dashboard.enabled=true"), "ConfigMap", "gitmoor-dashboard")["data"]["gitmoor.json"])
    sources = "".join(path.read_text() for path in (paths.ROOT / "common/run").glob("*.c"))
    named = {metric for panel in board["panels"] for target in panel["targets"] for metric in metrics_of(target["expr"])}
    assert len(named) > 10
    assert not [metric for metric in named - exported_metrics().keys() if f'"{metric}"' not in sources]


def headings(page):
    """The anchors of a page, as they are linked to."""
    titles = re.findall(r"^#+ (.*)$", (paths.ROOT / "docs" / page).read_text(), re.M)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def alerts(render, *sets, namespace="moor"):
    rule = one(render("prometheusRule.enabled=true", *sets, namespace=namespace), "PrometheusRule", "gitmoor")
    (group,) = rule["spec"]["groups"]
    return {each["alert"]: each for each in group["rules"]}


def test_alerts_are_about_metrics_labels_and_pages_that_exist(render):
    exported, of_the_target = exported_metrics(), {"namespace", "process", "pod", "job", "instance"}
    found = alerts(render, "prometheusRule.docs=https://wiki.example/gitmoor")
    assert len(found) >= 10
    for name, alert in found.items():
        named = metrics_of(alert["expr"])
        assert named and named <= exported.keys(), (name, named - exported.keys())
        labels = of_the_target.union(*(exported[metric] for metric in named))
        asked = set(re.findall(r"(\w+)=~?\"", alert["expr"]))
        for listed in re.findall(r"(?:by|on) \((.*?)\)", alert["expr"]):
            asked |= set(listed.split(", "))
        shown = set(re.findall(r"\$labels\.(\w+)", json.dumps(alert["annotations"])))
        assert asked <= labels and shown <= asked, (name, asked - labels, shown - asked)
        assert 'namespace="moor"' in alert["expr"] and "NAMESPACE" not in json.dumps(alert)
        assert alert["for"] and alert["labels"]["severity"] in ("info", "warning", "critical")
        assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
        page, _, heading = alert["annotations"]["runbook_url"].removeprefix("https://wiki.example/gitmoor/").partition("#")
        assert heading in headings(page), f"{name}: {page} has no heading {heading}"


def test_what_alerts_say_is_wrong_is_a_word_that_the_differ_knows(render):
    words = set(re.findall(r'\{PROBLEM_\w+, "(\w+)"\}', (paths.ROOT / "differ/gauges.c").read_text()))
    asked = {word for alert in alerts(render).values() for value in re.findall(r'problem=~?"(.*?)"', alert["expr"])
             for word in value.split("|")}
    assert asked == words and len(words) == 5


def test_every_alert_is_in_the_documentation(render):
    table = (paths.ROOT / "docs/install.md").read_text().partition("## Monitoring")[2]
    assert set(re.findall(r"`(Gitmoor\w+)`", table)) == set(alerts(render))


def test_the_package_holds_the_chart_and_nothing_else(helm, tmp_path):
    helm("package", CHART, "--destination", tmp_path)
    (package,) = tmp_path.glob("gitmoor-*.tgz")
    names = subprocess.run(["tar", "tzf", package], capture_output=True, text=True, check=True).stdout.split()
    assert "gitmoor/files/rbac.yaml" in names and "gitmoor/files/crds/applications.yaml" in names
    assert {name.split("/")[1] for name in names} == {"Chart.yaml", ".helmignore", "values.yaml", "values.schema.json", "templates",
                                                      "files"}


# ------------------------------------------------------------------------------- in a cluster

class BareCluster(Cluster):
    """A control plane without anything of Gitmoor's."""

    def _install(self):
        pass


class Installed:
    """The chart in a cluster: upgrade(), and what is there."""

    def __init__(self, cluster, helm):
        self.cluster, self.helm, self.api = cluster, helm, cluster.api()

    def secret(self, name):
        return self.api.get("Secret", NAMESPACE, name)

    def key(self, link, name="key"):
        value = self.secret(f"gitmoor-bus-{link}")["data"].get(f"{link}.{name}")
        return value and base64.b64decode(value).decode()

    def upgrade(self, *sets):
        """To the chart of this source tree, with these values and no others."""
        return self.helm("upgrade", "gitmoor", CHART, "--namespace", NAMESPACE, "--reset-values", "--wait", "--timeout", "180s", *flags(sets))

    def pods(self):
        return [pod for pod in self.api.list("Pod", NAMESPACE) if "deletionTimestamp" not in pod["metadata"]]


def older_chart(folder):
    """The chart as a version before might have been: a definition lacks a column."""
    older = folder / "gitmoor"
    shutil.copytree(CHART, older)
    crd = older / "files" / "crds" / "applications.yaml"
    text = crd.read_text()
    assert "{name: Objects, " in text
    crd.write_text("\n".join(line for line in text.splitlines() if "{name: Objects, " not in line) + "\n")
    return older


@pytest.fixture(scope="module")
def bare(scratch):
    with BareCluster(scratch / "bare") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def installed(bare, tmp_path_factory):
    """An older chart, installed with no values into a namespace where Pod Security enforces "restricted"."""
    helm = Helm(tmp_path_factory.mktemp("helm"), bare.kubeconfig())
    bare.api().create("Namespace", None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    helm("install", "gitmoor", older_chart(tmp_path_factory.mktemp("older")), "--namespace", NAMESPACE, "--wait", "--timeout", "180s")
    return Installed(bare, helm)


def columns(api):
    crd = api.get("CustomResourceDefinition", None, "applications.gitmoor.io")
    return {column["name"] for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]}


def test_installed_without_values_it_runs_under_pod_security_restricted(installed):
    """--wait has waited for the Deployment; a Pod that "restricted" forbids is not made."""
    (pod,) = installed.pods()
    assert [container["name"] for container in pod["spec"]["containers"]] == list(PROCESSES)
    with pytest.raises(ApiError) as refused:
        installed.api.create("Pod", NAMESPACE, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loose"}, "spec": {
            "containers": [{"name": "c", "image": "x"}]}})
    assert "PodSecurity" in str(refused.value), "the check itself refuses what is loose"


def test_the_one_pod_may_be_evicted(installed, kubectl_of_bare):
    """As draining its node does; a budget that allows none would stop that."""
    (pod,) = installed.pods()
    wait_for(lambda: kubectl_of_bare("get", "pdb", "gitmoor", "-n", NAMESPACE, "-o", "jsonpath={.status.disruptionsAllowed}") == "1", what="the budget")
    name = pod["metadata"]["name"]
    installed.api.request("POST", path_of("Pod", NAMESPACE, name) + "/eviction?dryRun=All", {
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}})


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_server_takes_every_object_and_every_pod(installed, helm, variant, kubectl_of_bare):
    """The Pods of hooks and of each topology too, which no controller makes here."""
    text = helm("template", "gitmoor", CHART, "--namespace", NAMESPACE, *flags(VARIANTS[variant]))
    found = [each for each in objects(text) if each["kind"] not in ("ServiceMonitor", "PrometheusRule")]
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"try-{number}", "namespace": NAMESPACE}, "spec": {
        **spec, "priorityClassName": ""}} for number, spec in enumerate(pod_specs(found).values())]
    for namespace in ("shop", "bank", "gitmoor-test"):
        installed.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    # Helm makes a hook's account before its Pod.
    for account in ("gitmoor-test", "gitmoor-uninstall"):
        installed.api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": NAMESPACE}})
    stream = json.dumps({"apiVersion": "v1", "kind": "List", "items": found + [pod_with_restart(pod) for pod in pods]})
    done = kubectl_of_bare.run("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-",
                               stdin=stream)
    assert done.returncode == 0, done.stderr
    assert "would violate" not in done.stderr


def pod_with_restart(pod):
    pod["spec"].setdefault("restartPolicy", "Never")
    return pod


@pytest.fixture(scope="module")
def kubectl_of_bare(bare):
    return bare.kubectl


def test_tokens_are_made_for_the_containers_that_share_a_pod(installed):
    for process in ("fetcher", "differ", "admission"):
        wait_for(lambda name=process: {"token", "ca.crt", "namespace"} <= set(installed.secret(f"gitmoor-{name}-token").get("data", {})),
                 what=f"the token of {process}")
    assert installed.secret("gitmoor-applier-token") is None


def test_keys_are_made_once_and_rotate_when_asked(installed):
    links = ("fetcher-differ", "differ-applier", "admission-differ")
    first = {link: installed.key(link) for link in links}
    assert len(set(first.values())) == 3 and all(re.fullmatch("[0-9a-f]{64}", key) for key in first.values())
    installed.upgrade()
    assert {link: installed.key(link) for link in links} == first, "an upgrade keeps them"
    installed.upgrade("bus.rotation=2026-11")
    second = {link: installed.key(link) for link in links}
    assert not set(second.values()) & set(first.values())
    assert {link: installed.key(link, "previous") for link in links} == first
    installed.upgrade("bus.rotation=2026-11")
    assert {link: installed.key(link) for link in links} == second
    assert {link: installed.key(link, "previous") for link in links} == first


def test_keys_stay_where_the_chart_no_longer_makes_them(installed, kubectl_of_bare):
    """As docs/install.md has it: without the annotation Helm would remove what has left the chart."""
    keys = ("gitmoor-bus-fetcher-differ", "gitmoor-bus-differ-applier", "gitmoor-bus-admission-differ")
    before = {name: installed.secret(name)["data"] for name in keys}
    kubectl_of_bare("annotate", "secret", "-n", NAMESPACE, *keys, "helm.sh/resource-policy=keep")
    installed.upgrade("bus.createKeys=false")
    assert {name: installed.secret(name)["data"] for name in keys} == before
    installed.upgrade("bus.rotation=2026-11")
    assert {name: installed.secret(name)["data"] for name in keys} == before, "and are taken back"
    kubectl_of_bare("annotate", "secret", "-n", NAMESPACE, *keys, "helm.sh/resource-policy-")


def test_an_upgrade_upgrades_the_definitions(installed):
    """Helm itself never touches what is in a chart's crds folder again."""
    installed.upgrade()
    assert "Objects" in columns(installed.api)


def test_the_certificate_survives_an_upgrade(installed):
    filled = installed.secret("gitmoor-admission-tls")
    filled["data"] = {"tls.crt": "YQ==", "tls.key": "Yg=="}
    installed.api.request("PUT", f"/api/v1/namespaces/{NAMESPACE}/secrets/gitmoor-admission-tls", filled)
    installed.upgrade("logLevel=debug")
    assert installed.secret("gitmoor-admission-tls")["data"] == filled["data"]


def test_from_one_topology_to_the_other_and_back(installed):
    def running():
        return Counter(pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in installed.pods())

    installed.upgrade("topology=split")
    assert {deployment["metadata"]["name"] for deployment in installed.api.list("Deployment", NAMESPACE)} == {
        f"gitmoor-{process}" for process in PROCESSES}
    wait_for(lambda: running() == {"fetcher": 1, "differ": 1, "applier": 1, "admission": 2}, what="the split Pods alone")
    assert [service["metadata"]["name"] for service in installed.api.list("Service", NAMESPACE)] == ["gitmoor-admission"]
    installed.upgrade()
    wait_for(lambda: running() == {"all": 1}, what="one Pod again")


def test_an_autoscaler_keeps_its_number_through_upgrades_and_a_rollback_goes_back(installed):
    def replicas():
        return installed.api.get("Deployment", NAMESPACE, "gitmoor-applier")["spec"]["replicas"]

    before = len(json.loads(installed.helm("history", "gitmoor", "--namespace", NAMESPACE, "-o", "json")))
    first = {link: installed.key(link) for link in ("fetcher-differ", "differ-applier", "admission-differ")}
    split = ("topology=split", "applier.autoscaling.enabled=true")
    installed.upgrade(*split)
    installed.api.request("PATCH", path_of("Deployment", NAMESPACE, "gitmoor-applier") + "/scale", {"spec": {"replicas": 3}},
                          "application/merge-patch+json")  # as the autoscaler does
    installed.upgrade(*split, "logLevel=debug", "bus.rotation=2027-01")
    assert replicas() == 3
    second = installed.key("differ-applier")
    installed.helm("rollback", "gitmoor", before, "--namespace", NAMESPACE, "--wait", "--timeout", "180s")
    assert [each["metadata"]["name"] for each in installed.api.list("Deployment", NAMESPACE)] == ["gitmoor"]
    assert {link: installed.key(link) for link in first} == first, "which docs/install.md says"
    installed.upgrade("bus.rotation=2027-01")
    assert installed.key("differ-applier") not in (first["differ-applier"], second), "the same word makes new keys after a rollback"


@pytest.mark.parametrize("release, namespace, words", [("gitmoor", "harbour", []), ("anchor", NAMESPACE, []),
                                                       ("anchor", "harbour", ["--take-ownership"])])
def test_a_second_installation_is_refused(installed, release, namespace, words):
    done = installed.helm.run("install", release, CHART, "--namespace", namespace, "--dry-run=server", *words)
    assert done.returncode and f"already, as the release gitmoor in the namespace {NAMESPACE}, and there can be only one" in done.stderr


# ------------------------------------------------------------------------------- rights

EVENTS = {("events.k8s.io", "events", "", verb) for verb in ("create", "patch")}
APPLICATIONS = {("gitmoor.io", "applications", "", verb) for verb in ("get", "list", "watch")}
WEBHOOKS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies",
            "validatingadmissionpolicybindings")
LEASES = {("coordination.k8s.io", "leases", "", verb) for verb in ("get", "list", "watch", "create", "update", "patch", "delete")}
# process -> (rights in every namespace, further ones in its own): (group, resource, name or "", verb).
RIGHTS = {
    "fetcher": (EVENTS | {("gitmoor.io", kind, "", verb) for verb in ("get", "list", "watch")
                          for kind in ("gitrepositories", "helmrepositories")} |
                {("gitmoor.io", "gitrepositories/status", "", "patch"), ("gitmoor.io", "helmrepositories/status", "", "patch"),
                 ("", "secrets", "", "get")}, LEASES),
    "differ": (EVENTS | {("*", "*", "", verb) for verb in ("list", "watch")} |
               {("gitmoor.io", "applications/status", "", "patch")}, LEASES),
    "applier": (APPLICATIONS | {("gitmoor.io", "applications", "", "patch"), ("", "serviceaccounts", "", "impersonate"),
                                ("authentication.k8s.io", "userextras/gitmoor.io/applier", "", "impersonate"),
                                ("authentication.k8s.io", "selfsubjectreviews", "", "create")}, LEASES),
    "admission": (APPLICATIONS | {("admissionregistration.k8s.io", kind, "", "create") for kind in WEBHOOKS} |
                  {("admissionregistration.k8s.io", kind, "gitmoor-admission", verb) for kind in WEBHOOKS
                   for verb in ("get", "list", "watch", "update", "patch", "delete")},
                  LEASES | {("", "secrets", "", "create")} |
                  {("", "secrets", "gitmoor-admission-tls", verb) for verb in ("get", "list", "watch", "update", "patch")}),
    "default": (set(), set()),
}


def rights(cluster, account, namespace):
    """What an account of Gitmoor's namespace may do in a namespace, all of it, as the server's authorizer lists it."""
    headers = {"Impersonate-User": f"system:serviceaccount:{NAMESPACE}:{account}"}
    review = cluster.api().request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}, headers=headers)
    assert not review["status"]["incomplete"]
    return {(group, resource, name, verb) for rule in review["status"]["resourceRules"] for group in rule.get("apiGroups", [""])
            for resource in rule.get("resources", []) for name in rule.get("resourceNames") or [""] for verb in rule["verbs"]}


@pytest.mark.parametrize("process", RIGHTS)
def test_each_account_may_do_what_the_table_says_and_no_more(installed, process):
    account = process if process == "default" else f"gitmoor-{process}"
    everywhere, at_home = RIGHTS[process]
    for namespace, wanted in (("kube-system", everywhere), (NAMESPACE, everywhere | at_home)):
        public = rights(installed.cluster, "nobody-has-bound-this", namespace)
        assert ("", "secrets", "", "get") not in public
        assert rights(installed.cluster, account, namespace) - public == wanted - public, f"in {namespace}"


# process, verb, group, resource, namespace, name, may it?
QUESTIONS = [
    ("fetcher", "get", "", "secrets", "shop", "git", True),
    ("fetcher", "list", "", "secrets", "shop", "", False),
    ("fetcher", "update", "gitmoor.io", "gitrepositories", "shop", "shop", False),
    ("fetcher", "patch", "gitmoor.io", "applications/status", "shop", "shop", False),
    ("differ", "list", "apps", "deployments", "shop", "", True),
    ("differ", "patch", "apps", "deployments", "shop", "web", False),
    ("differ", "create", "", "pods", "shop", "", False),
    ("differ", "create", "", "serviceaccounts/token", "shop", "default", False),
    ("differ", "impersonate", "", "serviceaccounts", "shop", "default", False),
    ("differ", "impersonate", "authentication.k8s.io", "userextras/gitmoor.io/applier", "", "x", False),
    ("applier", "impersonate", "", "serviceaccounts", "shop", "default", True),
    ("applier", "impersonate", "authentication.k8s.io", "userextras/gitmoor.io/applier", "", "x", True),
    ("applier", "impersonate", "", "users", "", "admin", False),
    ("applier", "impersonate", "", "groups", "", "system:masters", False),
    ("applier", "patch", "", "configmaps", "shop", "settings", False),
    ("applier", "patch", "gitmoor.io", "applications", "shop", "shop", True),  # the finalizer
    ("applier", "patch", "gitmoor.io", "applications/status", "shop", "shop", False),
    ("differ", "patch", "gitmoor.io", "applications", "shop", "shop", False),
    ("applier", "get", "", "secrets", "shop", "git", False),
    ("admission", "patch", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "gitmoor-admission", True),
    ("admission", "patch", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "someone-elses", False),
    ("admission", "get", "", "secrets", NAMESPACE, "gitmoor-admission-tls", True),
    ("admission", "get", "", "secrets", NAMESPACE, "gitmoor-bus-differ-applier", False),
    ("admission", "get", "", "secrets", "shop", "git", False),
    ("fetcher", "delete", "coordination.k8s.io", "leases", NAMESPACE, "gitmoor-fetcher-0.fetcher", True),
    ("differ", "patch", "coordination.k8s.io", "leases", "kube-system", "kube-controller-manager", False),
]


def may(api, user, groups, verb, group, resource, namespace, name):
    resource, _, subresource = resource.partition("/")
    review = api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": {
            "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name}}})
    return review["status"]["allowed"]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: " ".join(str(part) for part in question if part != ""))
def test_may_it(installed, question):
    process, *asked, answer = question
    user = f"system:serviceaccount:{NAMESPACE}:gitmoor-{process}"
    assert may(installed.api, user, ["system:serviceaccounts", "system:authenticated"], *asked) == answer


def test_secrets_can_be_limited_to_namespaces_and_kept_from_the_differ(installed):
    user = f"system:serviceaccount:{NAMESPACE}:gitmoor-fetcher"
    installed.upgrade("fetcher.secretNamespaces={shop}", "differ.secrets=false", "differ.apiGroups={example.org}")
    differ = f"system:serviceaccount:{NAMESPACE}:gitmoor-differ"
    wait_for(lambda: not may(installed.api, differ, [], "list", "", "secrets", "shop", ""), what="Secrets kept from the differ")
    for group, resource, answer in (("", "configmaps", True), ("apps", "deployments", True), ("example.org", "plants", True),
                                    ("rbac.authorization.k8s.io", "clusterroles", True), ("gitmoor.io", "applications", True),
                                    ("elsewhere.org", "plants", False)):
        assert may(installed.api, differ, [], "watch", group, resource, "", "") == answer, resource
    wait_for(lambda: not may(installed.api, user, [], "get", "", "secrets", "bank", "git"), what="the right to be gone elsewhere")
    wait_for(lambda: may(installed.api, user, [], "get", "", "secrets", "shop", "git"), what="the right to be there")
    assert not may(installed.api, user, [], "get", "", "secrets", NAMESPACE, "gitmoor-bus-differ-applier")
    installed.upgrade()


# Kubernetes' role or ours, verb, resource, may it?
PEOPLE = [
    ("gitmoor-viewer", "get", "applications", True), ("gitmoor-viewer", "create", "applications", False),
    ("gitmoor-editor", "create", "gitrepositories", True), ("gitmoor-editor", "patch", "applications/status", False),
    ("gitmoor-operator", "patch", "applications", True), ("gitmoor-operator", "patch", "applications/status", False),
    ("view", "watch", "applications", True), ("view", "delete", "applications", False),
    ("edit", "create", "applications", True), ("admin", "delete", "gitrepositories", True),
]


@pytest.mark.parametrize("role, verb, resource, answer", PEOPLE)
def test_roles_of_people(installed, role, verb, resource, answer):
    installed.api.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                         "metadata": {"name": f"try-{role}"},
                         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                         "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": f"person-{role}"}]})

    def allowed(asked_verb, asked_resource):
        return may(installed.api, f"person-{role}", [], asked_verb, "gitmoor.io", asked_resource, "shop", "shop")

    wait_for(lambda: allowed("get", "applications"), what=f"the binding of {role}")
    assert allowed(verb, resource) == answer


def test_break_glass_is_a_right_of_its_own(installed):
    for role in ("gitmoor-viewer", "gitmoor-editor", "gitmoor-operator", "edit", "admin"):
        assert not may(installed.api, f"person-{role}", [], "impersonate", "", "groups", "", "gitmoor:break-glass")
    rules = installed.api.get("ClusterRole", None, "gitmoor-break-glass")["rules"]
    assert rules == [{"apiGroups": [""], "resources": ["groups"], "resourceNames": ["gitmoor:break-glass"], "verbs": ["impersonate"]}]


# ------------------------------------------------------------------------------- the end

def left_over(kubectl):
    """Everything with the release's label."""
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").split()
    kinds = [kind for kind in kinds if not kind.startswith(("events", "componentstatuses"))]
    listing = json.loads(kubectl("get", ",".join(kinds), "-A", "-l", "app.kubernetes.io/part-of=gitmoor", "-o", "json"))
    return {f"{item['kind']} {item['metadata']['name']}" for item in listing["items"]}


def run_as(cluster, account, folder, container):
    """A container's program as a service account."""
    token = cluster.kubectl("create", "token", account, "-n", NAMESPACE).strip()
    authority = base64.b64encode(cluster.authority.certificate.read_bytes()).decode()
    write_kubeconfig(folder / "kubeconfig", cluster.server, authority, account, token)
    program = re.search("/([a-z]+):", container["image"]).group(1)
    done = subprocess.run([paths.gitmoor_bin() / f"gitmoor-{program}", *container["args"], "--kubeconfig", folder / "kubeconfig"],
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr


def succeed(api, pod):
    """What a node reports when a Pod's containers have ended well."""
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": now_rfc3339(), "finishedAt": now_rfc3339()}
    status = {"phase": "Succeeded", "containerStatuses": [{
        "name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0, "ready": False,
        "started": False, "state": {"terminated": ended}} for container in pod["spec"]["containers"]]}
    api.request("PATCH", path_of("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]) + "/status", {"status": status},
                "application/merge-patch+json")


@pytest.fixture
def registered(installed):
    """What admission would have registered. Its own user."""
    api, user = installed.api, f"system:serviceaccount:{NAMESPACE}:gitmoor-admission"
    policy = {"matchConstraints": {"resourceRules": [{"apiGroups": ["none.example.org"], "apiVersions": ["v1"], "operations": ["CREATE"],
                                                      "resources": ["nothing"]}]}, "validations": [{"expression": "true"}]}
    specs = {"ValidatingWebhookConfiguration": None, "MutatingWebhookConfiguration": None, "ValidatingAdmissionPolicy": policy,
             "ValidatingAdmissionPolicyBinding": {"policyName": "gitmoor-admission", "validationActions": ["Deny"]}}
    for (kind, spec), plural in zip(specs.items(), WEBHOOKS, strict=True):
        api.request("POST", f"/apis/admissionregistration.k8s.io/v1/{plural}", {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "gitmoor-admission"},
            **({"spec": spec} if spec else {})})
    installed.upgrade()
    return user


@pytest.fixture
def held(installed):
    """Applications with our finalizer: one that is kept, and two that are being deleted, of which one has somebody else's too."""
    def application(name, *finalizers):
        installed.api.apply({"apiVersion": "gitmoor.io/v1alpha1", "kind": "Application",
                             "metadata": {"name": name, "namespace": "shop", "finalizers": list(finalizers)},
                             "spec": {"source": {"repository": "shop", "path": "deploy"}, "deletionPolicy": "Delete"}})

    installed.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    application("kept", "gitmoor.io/prune")
    application("going", "gitmoor.io/prune")
    application("held", "example.org/other", "gitmoor.io/prune")
    for name in ("going", "held"):
        installed.api.delete("Application", "shop", name)
    yield lambda name: (installed.api.get("Application", "shop", name) or {"metadata": {}})["metadata"].get("finalizers")
    for name in ("kept", "going", "held"):
        with contextlib.suppress(ApiError):
            installed.api.patch("Application", "shop", name, {"metadata": {"finalizers": None}})
            installed.api.delete("Application", "shop", name)


def hook_pod(installed, name, but=()):
    """The Pod of a hook, which is none of those before."""
    return wait_for(lambda: next((pod for pod in installed.pods() if pod["metadata"]["name"].startswith(f"{name}-") and
                                  pod["metadata"]["uid"] not in [other["metadata"]["uid"] for other in but]), None), 60, f"the Pod of {name}")


UNINSTALL = {("admissionregistration.k8s.io", kind, "gitmoor-admission", "delete") for kind in WEBHOOKS} | {
    ("gitmoor.io", "applications", "", verb) for verb in ("list", "patch")}


def test_uninstalling_takes_the_webhooks_first_and_leaves_the_definitions_alone(installed, registered, held, kubectl_of_bare, tmp_path):
    """The last test of this file that uses the installation. Nothing runs in the Pods of hooks here: their programs are run beside them."""
    api, asked = installed.api, ("admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "gitmoor-admission")
    assert may(api, registered, [], "patch", *asked)
    installed.upgrade("uninstall.awaitDeletions=1")  # there is nobody here who would see to them
    uninstalling = installed.helm.start("uninstall", "gitmoor", "--namespace", NAMESPACE, "--timeout", "180s")
    pod = hook_pod(installed, "gitmoor-unregister")
    assert api.get("Deployment", NAMESPACE, "gitmoor"), "nothing is deleted before"
    wait_for(lambda: not may(api, registered, [], "patch", *asked) and not may(api, registered, [], "create", *asked),
             what="the replicas' rights gone, lest they put it back")
    public = rights(installed.cluster, "nobody-has-bound-this", NAMESPACE)
    account = pod["spec"]["serviceAccountName"]
    wait_for(lambda: rights(installed.cluster, account, NAMESPACE) - public == UNINSTALL, what="the rights of the step, and no more")
    told = run_as(installed.cluster, account, tmp_path, pod["spec"]["initContainers"][0])
    assert "not done yet" in told and '"left":"2"' in told
    run_as(installed.cluster, account, tmp_path, pod["spec"]["containers"][0])
    for plural in WEBHOOKS:
        assert not api.request("GET", f"/apis/admissionregistration.k8s.io/v1/{plural}")["items"], plural
    succeed(api, pod)

    # Whoever runs it is interrupted, and runs it again.
    before = [pod, hook_pod(installed, "gitmoor-release")]
    uninstalling.terminate()
    uninstalling.communicate()
    uninstalling = installed.helm.start("uninstall", "gitmoor", "--namespace", NAMESPACE, "--timeout", "180s")
    pod = hook_pod(installed, "gitmoor-unregister", before)
    run_as(installed.cluster, account, tmp_path, pod["spec"]["containers"][0])
    succeed(api, pod)

    pod = hook_pod(installed, "gitmoor-release", before)
    assert not api.get("Deployment", NAMESPACE, "gitmoor"), "nobody is left who would put a finalizer back"
    assert held("going") and held("kept")
    run_as(installed.cluster, pod["spec"]["serviceAccountName"], tmp_path, pod["spec"]["containers"][0])
    assert not api.get("Application", "shop", "going") and held("held") == ["example.org/other"], "no deletion waits for Gitmoor"
    assert api.get("Application", "shop", "kept") and not held("kept")
    succeed(api, pod)
    output, _ = uninstalling.communicate(timeout=200)
    assert uninstalling.returncode == 0, output
    kept = {f"CustomResourceDefinition {kind}.gitmoor.io" for kind in ("applications", "gitrepositories", "helmrepositories")}
    wait_for(lambda: left_over(kubectl_of_bare) - kept == set(), what="nothing to be left")
    assert left_over(kubectl_of_bare) == kept


def test_it_installs_elsewhere_over_definitions_that_were_kept(installed):
    """After the uninstallation; and over what is left of a release whose namespace has been deleted under it."""
    installed.api.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                         "metadata": {"name": "gitmoor-applier", "annotations": {"meta.helm.sh/release-name": "gone",
                                                                                 "meta.helm.sh/release-namespace": "gone"}},
                         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "gitmoor-applier"}})
    try:
        words = ("install", "anchor", CHART, "--namespace", "harbour", "--dry-run=server")
        done = installed.helm.run(*words)
        assert done.returncode and "invalid ownership metadata" in done.stderr
        assert installed.helm.run(*words, "--take-ownership").returncode == 0
    finally:
        installed.api.request("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/gitmoor-applier")
