"""The core rule as a ValidatingAdmissionPolicy, to compare the webhook with."""
from harness.api import ApiError
from harness.cluster import user_of

PREFIX = "/apis/admissionregistration.k8s.io/v1"
POLICIES, BINDINGS = f"{PREFIX}/validatingadmissionpolicies", f"{PREFIX}/validatingadmissionpolicybindings"
NAME = "gitmoor-bench"

OURS = ("{0}.metadata.managedFields.filter(e, e.manager == 'gitmoor' && e.operation == 'Apply')"
        ".map(e, e.fieldsV1)")

POLICY = {
    "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": NAME}, "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "objectSelector": {"matchExpressions": [{"key": "gitmoor.io/managed-by", "operator": "Exists"}]},
            "resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["UPDATE", "DELETE"], "resources": ["*"]}]},
        "matchConditions": [{"name": "not-the-applier", "expression":
                             f"!(has(request.userInfo.extra) && 'gitmoor.io/applier' in request.userInfo.extra && '{user_of('applier')}' in "
                             "request.userInfo.extra['gitmoor.io/applier'])"}],
        "validations": [{"expression": f"request.operation == 'UPDATE' && {OURS.format('object')} == {OURS.format('oldObject')}",
                         "message": "This object is managed by Git."}]}}
BINDING = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": NAME},
           "spec": {"policyName": NAME, "validationActions": ["Deny"]}}


def install(api):
    api.request("POST", POLICIES, POLICY)
    api.request("POST", BINDINGS, BINDING)


def remove(api):
    for collection in (BINDINGS, POLICIES):
        try:
            api.request("DELETE", f"{collection}/{NAME}")
        except ApiError as error:
            if error.status != 404:
                raise
