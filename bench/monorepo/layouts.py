"""What the repository of scripts/bench monorepo holds: applications of four objects, and other files that belong to none of them.

Two layouts: manifests of each application in a directory of its own, or one base and an overlay for each application.
"""
import random

OBJECTS = 4  # of one application
DIRECTORIES = 20  # that the other files are in
BASE = "base"

_MANIFESTS = {
    "settings": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}settings\ndata:\n  color: {color}\n  currency: EUR\n",
    "service": "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}web\nspec:\n  selector:\n    app: web\n  ports:\n"
               "    - port: 80\n      targetPort: 8080\n",
    "account": "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {name}web\n",
    "role": "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: {name}web\nrules:\n  - apiGroups: [\"\"]\n"
            "    resources: [configmaps]\n    verbs: [get]\n",
}


def name_of(number):
    return f"app-{number:04}"


def other_files(count, seed=1):
    """Two kilobytes each that do not compress away."""
    draw = random.Random(seed)
    return {f"other/{number % DIRECTORIES:02}/file-{number:04}.txt":
            "\n".join(f"{draw.getrandbits(200):050x}" for _ in range(40)) + "\n" for number in range(count)}


class Plain:
    name = "plain manifests"
    commits = ("one file",)

    @staticmethod
    def path(number):
        return f"apps/{name_of(number)}"

    def files(self, applications):
        return {f"{self.path(number)}/{what}.yaml": text.format(name=f"{name_of(number)}-", color="blue")
                for number in range(applications) for what, text in _MANIFESTS.items()}

    def change(self, number, color):
        """The commit to one application."""
        return {f"{self.path(number)}/settings.yaml": _MANIFESTS["settings"].format(name=f"{name_of(number)}-", color=color)}


class Overlays:
    name = "overlays"
    commits = ("one overlay", "the base")

    @staticmethod
    def path(number):
        return f"overlays/{name_of(number)}"

    def files(self, applications):
        made = {f"{BASE}/{what}.yaml": text.format(name="", color="blue") for what, text in _MANIFESTS.items()}
        made[f"{BASE}/kustomization.yaml"] = "resources:\n" + "".join(f"  - {what}.yaml\n" for what in _MANIFESTS)
        for number in range(applications):
            made[f"{self.path(number)}/kustomization.yaml"] = (
                f"namePrefix: {name_of(number)}-\nresources:\n  - ../../{BASE}\npatches:\n  - path: settings.yaml\n")
            made.update(self.change(number, "blue"))
        return made

    def change(self, number, color):
        return {f"{self.path(number)}/settings.yaml":
                f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  color: {color}\n"}

    @staticmethod
    def change_base(currency):
        """The commit that changes one object of each application."""
        return {f"{BASE}/settings.yaml":
                _MANIFESTS["settings"].format(name="", color="blue").replace("currency: EUR", f"currency: {currency}")}


LAYOUTS = {"plain": Plain, "overlays": Overlays}
