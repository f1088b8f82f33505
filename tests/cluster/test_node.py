"""The node itself: if these fail, nothing else here says anything about Gitmoor."""
import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from harness.realnode import NODE, TOOLBOX
from harness.waiting import wait_for

WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: IMAGE
          imagePullPolicy: Never
          command: [sh, -c, "echo hello >/tmp/index.html && exec httpd -f -p 8080 -h /tmp"]
          readinessProbe: {httpGet: {path: /index.html, port: 8080}, periodSeconds: 1}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  containers:
    - {name: client, image: IMAGE, imagePullPolicy: Never, command: [sleep, "3600"]}
""".replace("IMAGE", TOOLBOX)


@pytest.fixture
def web(kubectl, namespace):
    """A Deployment behind a Service, and a Pod to ask from."""
    kubectl("apply", "-n", namespace, "-f", "-", stdin=WEB)
    kubectl("rollout", "status", "-n", namespace, "deployment/web", "--timeout=90s")
    kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/client", "--timeout=60s")
    return namespace


def test_a_service_answers_from_the_host_and_by_name_between_pods(kubectl, web):
    address = kubectl("get", "-n", web, "service", "web", "-o", "jsonpath={.spec.clusterIP}")

    def from_host():
        with urllib.request.urlopen(f"http://{address}/index.html", timeout=5) as answer:
            return answer.read() == b"hello\n"

    wait_for(from_host, what="an answer from the host")
    resolved = wait_for(lambda: kubectl("exec", "-n", web, "client", "--", "nslookup", f"web.{web}.svc.cluster.local"),
                        what="the name")
    assert f"Address: {address}\n" in resolved
    request = rf"printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc -w 5 {address} 80"
    assert kubectl("exec", "-n", web, "client", "--", "sh", "-c", request).endswith("\n\nhello\n")


def test_logs_and_the_api_from_a_pod(kubectl, web):
    kubectl("logs", "-n", web, "deployment/web")  # through kubelet, with the API server's certificate
    token = kubectl("exec", "-n", web, "client", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    assert token.count(".") == 2
    assert kubectl("exec", "-n", web, "client", "--", "id", "-u").strip() == "65532"


def test_the_node_hides_from_the_host(node_cluster):
    mounts = Path("/proc/self/mounts").read_text()
    assert str(node_cluster.folder) not in mounts, "mounts of containers stay in the machine"
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    assert [link["ifname"] for link in links if link["ifname"].startswith(("veth", "cni"))] == []
    assert node_cluster.machine.run("iptables-save").count(":KUBE-SERVICES") >= 1
    node = node_cluster.api().request("GET", f"/api/v1/nodes/{NODE}")
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
