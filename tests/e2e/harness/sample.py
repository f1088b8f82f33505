"""The sample repository of scripts/dev and scripts/demo: a small shop, and the two objects that moor it."""

NAMESPACE = "shop"
PATH = "deploy/production"

_SETTINGS = """apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  currency: EUR
  banner: "{banner}"
"""

_WEB = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {{app: web}}
  template:
    metadata:
      labels: {{app: web}}
    spec:
      containers:
        - name: web
          image: {image}
          ports:
            - containerPort: 8080
"""

_SERVICE = """apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
    - port: 80
      targetPort: 8080
"""


def files(banner="Welcome", image="registry.example.org/shop/web:1.0"):
    """The manifests, path -> text."""
    return {
        f"{PATH}/settings.yaml": _SETTINGS.format(banner=banner),
        f"{PATH}/web.yaml": _WEB.format(image=image),
        f"{PATH}/service.yaml": _SERVICE,
    }


def git_repository(namespace, name, url, interval="1m", secret=None, **spec):
    """A GitRepository object."""
    body = {"apiVersion": "gitmoor.io/v1alpha1", "kind": "GitRepository", "metadata": {"name": name, "namespace": namespace},
            "spec": {"url": url, "interval": interval, **spec}}
    if secret:
        body["spec"]["secretRef"] = {"name": secret}
    return body


def application(namespace, name, repository, path=PATH, **spec):
    """An Application object."""
    return {"apiVersion": "gitmoor.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": namespace},
            "spec": {"source": {"repository": repository, "path": path}, **spec}}


def ca_secret(namespace, name, ca_file, **data):
    """The Secret by which a GitRepository trusts the test server; more keys such as username and password by name."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
            "stringData": {"ca.crt": ca_file.read_text(), **data}}
