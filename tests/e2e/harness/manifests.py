"""What a real node (realnode.py) is configured with: containerd, kubelet, and CoreDNS in kube-system."""

# restrict_oom_score_adj: a host without CAP_SYS_RESOURCE refuses negative scores, and runc dies of it.
CONTAINERD = """version = 2
root = "{root}"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
"""


def kubelet(folder, authority, dns, cgroup):
    """The KubeletConfiguration. Only the API server's certificate opens kubelet's port; nothing is evicted, no image collected."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": False},
                           "x509": {"clientCAFile": str(authority)}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs", "cgroupRoot": cgroup, "failCgroupV1": False, "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False, "failSwapOn": False,
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "clusterDNS": [dns], "clusterDomain": "cluster.local", "resolvConf": str(folder / "resolv.conf"),
        "volumePluginDir": str(folder / "plugins"), "syncFrequency": "10s", "nodeStatusUpdateFrequency": "4s",
        "healthzPort": 0, "readOnlyPort": 0, "maxPods": 200, "registryPullQPS": 0,
        "crashLoopBackOff": {"maxContainerRestartPeriod": "5s"}, "featureGates": {"KubeletCrashLoopBackOffMax": True},
    }


_COREDNS = """apiVersion: v1
kind: ServiceAccount
metadata: {{name: coredns, namespace: kube-system}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: system:coredns}}
rules:
  - {{apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}}
  - {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: system:coredns}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}}
subjects: [{{kind: ServiceAccount, name: coredns, namespace: kube-system}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: coredns, namespace: kube-system}}
data:
  Corefile: |
    .:5353 {{
        errors
        health :8080
        ready :8181
        kubernetes cluster.local in-addr.arpa {{
            ttl 1
        }}
        loadbalance
    }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: coredns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  selector: {{matchLabels: {{k8s-app: kube-dns}}}}
  template:
    metadata: {{labels: {{k8s-app: kube-dns}}}}
    spec:
      serviceAccountName: coredns
      priorityClassName: system-cluster-critical
      dnsPolicy: Default
      containers:
        - name: coredns
          image: {image}
          imagePullPolicy: Never
          args: [-conf, /etc/coredns/Corefile]
          volumeMounts: [{{name: config, mountPath: /etc/coredns}}]
          readinessProbe: {{httpGet: {{path: /ready, port: 8181}}, periodSeconds: 1}}
      volumes: [{{name: config, configMap: {{name: coredns}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  clusterIP: {address}
  selector: {{k8s-app: kube-dns}}
  ports:
    - {{name: dns, port: 53, targetPort: 5353, protocol: UDP}}
    - {{name: dns-tcp, port: 53, targetPort: 5353, protocol: TCP}}
"""


def coredns(image, address):
    """CoreDNS as YAML, its Service at this address."""
    return _COREDNS.format(image=image, address=address)
