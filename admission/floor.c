/* What the floor does not do, since CEL in the API server sees neither more nor other requests:
 * the values beside the entry (mutating webhooks that run after it was computed); /scale, whose
 * review carries no entry in the validating phase; Namespaces and CustomResourceDefinitions that
 * only hold managed objects; what is added to an Update entry of our manager that is there already;
 * repository, path and commit in the message; a warning for applications of protection Warn, which
 * it lets pass.
 *
 * The entry is compared as a whole: only the applier writes it, so that any other change of it is a
 * loss. */
#include "admission/floor.h"

#include "admission/conditions.h"
#include "admission/floor_list.h"
#include "common/base/buf.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define EXPRESSION_MAXIMUM ((size_t)98304) /* CEL's parser takes 100,000 characters */
/* Levels of a field set that a message looks into: .spec.template.spec.containers[…].image is six.
 * Each costs two nested comprehensions in the expression. */
#define LEVELS 6

#define LABEL(object)                                                                              \
    "(" object " != null && has(" object ".metadata.labels) && '" GITMOOR_LABEL "' in " object     \
    ".metadata.labels ? " object ".metadata.labels['" GITMOOR_LABEL "'] : '')"
#define LABEL_OF_EITHER                                                                            \
    "(" LABEL("oldObject") " != '' ? " LABEL("oldObject") " : " LABEL("object") ")"
#define ENTRIES(object, operation)                                                                 \
    "(" object " != null && has(" object ".metadata.managedFields) ? " object                      \
    ".metadata.managedFields.filter(e, has(e.manager) && e.manager == '" GITMOOR_FIELD_MANAGER     \
    "' && has(e.operation) && e.operation == '" operation "' && has(e.fieldsV1) && "               \
    "(!has(e.subresource) || e.subresource == '')) : [])"
#define OWNERS(object)                                                                             \
    "(has(" object ".metadata.ownerReferences) ? " object ".metadata.ownerReferences : [])"
#define UPDATE_OF_OURS "!(request.operation == 'UPDATE' && size(variables.before) > 0) || "
/* As the webhook's entry `status` has it. */
#define ONLY_STATUS                                                                                \
    "(has(request.subResource) && request.subResource == 'status' && "                             \
    "!(" CONDITION_TOUCHES_METADATA ")) || "
#define SUBJECT                                                                                    \
    "request.kind.kind + ' ' + (has(request.namespace) && request.namespace != '' && "             \
    "request.kind.kind != 'Namespace' ? request.namespace + '/' : '') + (has(" CONDITION_SUBJECT   \
    ".metadata.name) ? " CONDITION_SUBJECT ".metadata.name : '(without a name)')"
/* "prod/shop" of the label "prod.shop"; one of full length may be a digest. */
#define OWNER                                                                                      \
    "size(variables.label) < 63 && variables.label.contains('.') ? 'application ' + "              \
    "variables.label.substring(0, variables.label.indexOf('.')) + '/' + "                          \
    "variables.label.substring(variables.label.indexOf('.') + 1) : 'the application labelled ' + " \
    "variables.label"
#define DECLARED "declared by ' + variables.owner + '"
#define MANAGER_IS_RESERVED                                                                        \
    "field manager " GITMOOR_FIELD_MANAGER " is reserved for Gitmoor's applier"
#define RESERVED_BETTER                                                                            \
    "'field manager " GITMOOR_FIELD_MANAGER " is reserved for Gitmoor\\'s applier: ' + "           \
    "request.userInfo.username + ' may not write ' + variables.subject + ' in its name. Choose "   \
    "another --field-manager, and leave what managedFields tells of this one as it is.'"

static const struct {
    const char *name, *expression;
} variables[] = {
    {"before", ENTRIES("oldObject", "Apply")},
    {"after", ENTRIES("object", "Apply")},
    {"label", LABEL_OF_EITHER},
    {"subject", SUBJECT},
    {"owner", OWNER},
};

/* `message` is for when the better one, made by the expression, fails; NULL: lost_fields. */
static const struct {
    const char *expression, *message, *better;
} validations[] = {
    {"!" CONDITION_MANAGER, MANAGER_IS_RESERVED, RESERVED_BETTER},
    {"request.operation != 'UPDATE' || " ENTRIES("object", "Update") ".all(n, " ENTRIES(
         "oldObject", "Update") ".exists(o, o.apiVersion == n.apiVersion))",
     MANAGER_IS_RESERVED, RESERVED_BETTER},
    {"!(request.operation != 'DELETE' && size(variables.before) == 0 && (size(variables.after) > 0 "
     "|| (" LABEL("object") " != '' && " LABEL("object") " != " LABEL("oldObject") ")))",
     "only Gitmoor's applier may add the label " GITMOOR_LABEL
     " or a managedFields entry of manager " GITMOOR_FIELD_MANAGER,
     "variables.subject + ' claims to be managed by Git: only Gitmoor\\'s applier may add the "
     "label " GITMOOR_LABEL " or a managedFields entry of manager " GITMOOR_FIELD_MANAGER
     ", here in the name of ' + variables.owner + '. Declare the object "
     "in Git, or leave the label and the entry out.'"},
    {UPDATE_OF_OURS ONLY_STATUS "variables.before.all(e, variables.after.exists(n, n.apiVersion == "
                                "e.apiVersion && n.fieldsV1 == e.fieldsV1))",
     "this changes fields that Git declares: change them in Git", NULL},
    {UPDATE_OF_OURS LABEL("object") " == " LABEL("oldObject"),
     "this changes the label " GITMOOR_LABEL,
     "variables.subject + ' is managed by Git: .metadata.labels[\"" GITMOOR_LABEL "\"] is " DECLARED
     ". Change it in Git.'"},
    {UPDATE_OF_OURS OWNERS("object") ".all(r, " OWNERS(
         "oldObject") ".exists(q, q.uid == r.uid && "
                      "q.apiVersion == r.apiVersion && q.kind == r.kind && q.name == r.name))",
     "this adds an ownerReference that Git does not declare: the garbage collector would delete "
     "the object",
     "variables.subject + ' is managed by Git: an ownerReference that Git does not declare would "
     "let the garbage collector delete it. It is " DECLARED ".'"},
    {UPDATE_OF_OURS CONDITION_REASON("object") ".matches('^[ \\t\\r\\n]*$') || " CONDITION_REASON(
         "object") " == " CONDITION_REASON("oldObject") " || (has(request.userInfo.groups) && "
                                                        "'" GITMOOR_BREAK_GLASS_GROUP
                                                        "' in request.userInfo.groups)",
     "only break-glass may write the annotation " GITMOOR_BREAK_GLASS_ANNOTATION,
     "variables.subject + ' is managed by Git: only break-glass may write the "
     "annotation " GITMOOR_BREAK_GLASS_ANNOTATION ". It is " DECLARED ".'"},
    {"!(request.operation == 'DELETE' && size(variables.before) > 0)",
     "this object is declared in Git: remove it from Git",
     "variables.subject + ' is managed by Git: it is " DECLARED ". Remove it from Git.'"},
};

/* The floor is asked about what the entries `objects` and `status` of the webhook are asked about.
 * The setting's controllers are left to the process, which tells their bookkeeping from the rest.
 */
static const struct condition guarded[CONDITIONS_MAXIMUM] = {
    {NULL, condition_append_not_applier},    {CONDITION_ELSEWHERE, NULL},
    {CONDITION_NOT_TERMINATING, NULL},       {NULL, condition_append_not_control_plane},
    {NULL, condition_append_not_controller}, {"!" CONDITION_BREAK_GLASS, NULL},
};

/* ---- Which fields: the message of the validation that has none of its own ---- */

/* The steps down to level `level`, as the process writes them; the keys are k1, k2, … */
static void append_path(struct buf *out, unsigned level)
{
    for (unsigned i = 1; i <= level; i++) {
        buf_append_format(
            out,
            "%s(k%u.matches('^f:[A-Za-z_][A-Za-z0-9_]*$') ? '.' + k%u.substring(2) : "
            "k%u.startsWith('f:') ? '[\"' + k%u.substring(2) + '\"]' : "
            "k%u.matches('^k:[{].*[}]$') ? '[' + k%u.substring(4, size(k%u) - "
            "1).replace('\":', '=').replace(',\"', ',') + ']' : '[' + k%u.substring(2) + ']')",
            i > 1 ? " + " : "", i, i, i, i, i, i, i, i);
    }
}

/* Of the set o, written o.fieldsV1[k1][k2]…, what its counterpart n<level-1> lacks: a list of
 * texts, each a path or the joined paths below. `[…].map(n, …)[0]` names a value. */
static void append_lost(struct buf *out, unsigned level)
{
    AUTO_BUF struct buf set;
    buf_init(&set, 256);
    buf_append_string(&set, "o.fieldsV1");
    for (unsigned i = 1; i < level; i++) {
        buf_append_format(&set, "[k%u]", i);
    }
    buf_append_format(
        out, "%s.filter(k%u, k%u != '.' && !(k%u in n%u && n%u[k%u] == %s[k%u])).map(k%u, ",
        set.data, level, level, level, level - 1, level - 1, level, set.data, level, level);
    if (level < LEVELS) {
        buf_append_format(out,
                          "%s[k%u].exists(k, k != '.') ? [k%u in n%u ? n%u[k%u] : {}].map(n%u, ",
                          set.data, level, level, level - 1, level - 1, level, level);
        append_lost(out, level + 1);
        buf_append_string(out, ")[0] : ");
    }
    append_path(out, level);
    buf_append_string(out, ").join(', ')");
}

/* If nothing is lost, somebody has written our entry himself. */
static void append_lost_fields(struct buf *out)
{
    buf_append_string(
        out, "[variables.before.map(o, "
             "[variables.after.exists(n, n.apiVersion == o.apiVersion) ? variables.after.filter(n, "
             "n.apiVersion == o.apiVersion)[0].fieldsV1 : {}].map(n0, ");
    append_lost(out, 1);
    buf_append_string(
        out, ")[0]).filter(text, text != '').join(', ')].map(lost, lost == '' ? " RESERVED_BETTER
             " : variables.subject + ' is managed by Git: ' + lost + ', " DECLARED
             ". Change it in Git.')[0]");
}

/* ---- The objects ---- */

static void add_strings(cJSON *object, const char *name, const char *const *items, size_t count)
{
    cJSON *array = json_add_array(object, name);
    for (size_t i = 0; i < count; i++) {
        json_append(array, json_new_string(items[i]));
    }
}

static void add_rule(cJSON *rules, const char *const *operations, size_t operation_count,
                     const char *const *resources, size_t resource_count)
{
    static const char *const all[] = {"*"};
    cJSON *rule = json_append(rules, json_new_object());
    add_strings(rule, "apiGroups", all, 1);
    add_strings(rule, "apiVersions", all, 1);
    add_strings(rule, "operations", operations, operation_count);
    add_strings(rule, "resources", resources, resource_count);
    json_add_string(rule, "scope", "*");
}

static void add_constraints(cJSON *spec, const struct webhooks_options *options)
{
    static const char *const operations[] = {"CREATE", "UPDATE", "DELETE"};
    static const char *const whole[] = {"*", "*/resize", "*/ephemeralcontainers", "*/finalize",
                                        "*/approval"},
                             *const update[] = {"UPDATE"}, *const status[] = {"*/status"};
    cJSON *constraints = json_add_object(spec, "matchConstraints");
    json_add_string(constraints, "matchPolicy", "Equivalent");
    condition_add_selectors(constraints, true, options->namespace_);
    cJSON *rules = json_add_array(constraints, "resourceRules");
    add_rule(rules, operations, 3, whole, sizeof whole / sizeof *whole);
    add_rule(rules, update, 1, status, 1);
}

static void add_validations(cJSON *spec)
{
    cJSON *array = json_add_array(spec, "validations");
    for (size_t i = 0; i < sizeof validations / sizeof *validations; i++) {
        cJSON *validation = json_append(array, json_new_object());
        AUTO_FREE char *expression =
            mem_format("variables.orphaned || (%s)", validations[i].expression);
        json_add_string(validation, "expression", expression);
        json_add_string(validation, "message", validations[i].message);
        AUTO_BUF struct buf better;
        buf_init(&better, EXPRESSION_MAXIMUM);
        if (validations[i].better) {
            buf_append_string(&better, validations[i].better);
        } else {
            append_lost_fields(&better);
        }
        json_add_string(validation, "messageExpression", better.data);
        json_add_string(validation, "reason", "Forbidden");
    }
}

static cJSON *new_object(const char *kind)
{
    cJSON *object = json_new_object();
    json_add_string(object, "apiVersion", "admissionregistration.k8s.io/v1");
    json_add_string(object, "kind", kind);
    cJSON *metadata = json_add_object(object, "metadata");
    json_add_string(metadata, "name", WEBHOOKS_NAME);
    json_add_string(json_add_object(metadata, "labels"), "app.kubernetes.io/part-of", "gitmoor");
    return object;
}

static void add_variables(cJSON *spec, const char *list, int64_t since)
{
    cJSON *array = json_add_array(spec, "variables");
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        floor_list_append(array, variables[i].name, variables[i].expression);
    }
    floor_list_add_variables(array, list, since);
}

cJSON *floor_policy(const struct webhooks_options *options, const char *list, int64_t since)
{
    cJSON *policy = new_object("ValidatingAdmissionPolicy");
    cJSON *spec = json_add_object(policy, "spec");
    json_add_string(spec, "failurePolicy", "Fail");
    add_constraints(spec, options);
    AUTO_BUF struct buf condition;
    buf_init(&condition, EXPRESSION_MAXIMUM);
    condition_append_all(&condition, guarded, options);
    cJSON *conditions = json_add_array(spec, "matchConditions");
    floor_list_append(conditions, "guarded", condition.data);
    floor_list_add_conditions(conditions, list, LABEL_OF_EITHER);
    add_variables(spec, list, since);
    add_validations(spec);
    return policy;
}

int64_t floor_since(const cJSON *policy)
{
    return floor_list_since(json_get_path(policy, "spec.variables"));
}

cJSON *floor_binding(void)
{
    static const char *const actions[] = {"Deny", "Audit"};
    cJSON *binding = new_object("ValidatingAdmissionPolicyBinding");
    cJSON *spec = json_add_object(binding, "spec");
    json_add_string(spec, "policyName", WEBHOOKS_NAME);
    add_strings(spec, "validationActions", actions, 2);
    return binding;
}
