"""swagger.json of Kubernetes → one JSON schema per kind, as kubeconform reads them: kubernetes_schemas.py SWAGGER FOLDER.

Strict: fields that the API does not know are refused. Where kubeconform would look for the published schemas, the folder is named by
-schema-location 'FOLDER/{{ .ResourceKind }}{{ .KindSuffix }}.json'.
"""
import json
import os
import sys
import tempfile
from pathlib import Path

PREFIX = "#/definitions/"
# What the API describes as a string, but takes as a number too.
EITHER = {"io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["string", "integer"],
          "io.k8s.apimachinery.pkg.api.resource.Quantity": ["string", "number"]}


def references(schema):
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(PREFIX)
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def strict(name, definition):
    if name in EITHER:
        return {"type": EITHER[name]}
    made = {key: value for key, value in definition.items() if not key.startswith("x-kubernetes") and key != "description"}
    if "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def closure(name, definitions):
    """A definition and all that it refers to."""
    found, wanted = {}, [name]
    while wanted:
        current = wanted.pop()
        if current not in found:
            found[current] = strict(current, definitions[current])
            wanted.extend(references(found[current]))
    return found


def file_name(kind):
    """kubeconform's {{ .ResourceKind }}{{ .KindSuffix }}: deployment-apps-v1, role-rbac-v1, service-v1."""
    group = kind["group"].split(".")[0]
    return "-".join(part for part in (kind["kind"].lower(), group, kind["version"]) if part) + ".json"


def main(swagger, folder):
    definitions = json.loads(Path(swagger).read_text())["definitions"]
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / "schemas"
        made.mkdir()
        for name, definition in definitions.items():
            kinds = definition.get("x-kubernetes-group-version-kind", [])
            if len(kinds) == 1 and "metadata" in definition.get("properties", {}):
                schema = {"$ref": PREFIX + name, "definitions": closure(name, definitions)}
                (made / file_name(kinds[0])).write_text(json.dumps(schema))
        os.rename(made, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
