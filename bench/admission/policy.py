"""The core rule in fifteen lines of ValidatingAdmissionPolicy, as anybody would write it, to compare the webhook and the floor with."""
from harness.api import ApiError
from harness.cluster import user_of

PREFIX = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{PREFIX}/validatingadmissionpolicies", f"{PREFIX}/validatingadmissionpolicybindings"
NAME = "gitmoor-bench"

OURS = ("{0}.metadata.managedFields.filter(e, e.manager == 'gitmoor' && e.operation == 'Apply')"
        ".map(e, e.fieldsV1)")

_POLICY = {
    "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": NAME}, "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "objectSelector": {"matchExpressions": [{"key": "gitmoor.io/managed-by", "operator": "Exists"}]},
            "resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["UPDATE", "DELETE"], "resources": ["*"]}]},
        "matchConditions": [{"name": "not-the-applier", "expression":
                             "!(has(request.userInfo.extra) && 'gitmoor.io/applier' in request.userInfo.extra && "
                             f"'{user_of('applier')}' in request.userInfo.extra['gitmoor.io/applier'])"}],
        "validations": [{"expression": f"request.operation == 'UPDATE' && {OURS.format('object')} == {OURS.format('oldObject')}",
                         "message": "This object is managed by Git."}]}}
_BINDING = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": NAME},
           "spec": {"policyName": NAME, "validationActions": ["Deny"]}}


CORE = (_POLICY, _BINDING)


def read(api, name):
    """The policy and its binding of that name, to be made again."""
    found = [api.request("GET", f"{collection}/{name}") for collection in (POLICIES, BINDINGS)]
    return tuple({"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {"name": name}, "spec": body["spec"]}
                 for body in found)


def install(api, pair):
    for collection, body in zip((POLICIES, BINDINGS), pair):
        api.request("POST", collection, body)


def remove(api, pair):
    for collection in (BINDINGS, POLICIES):
        try:
            api.request("DELETE", f"{collection}/{pair[0]['metadata']['name']}")
        except ApiError as error:
            if error.status != 404:
                raise
