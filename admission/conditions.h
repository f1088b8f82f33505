/* The conditions of matchConditions and of the floor, in CEL: when a request is none of admission's
 * business. Written so that they cannot fail: under Fail a failing one would refuse the request.
 * And the selectors, which say the same of what needs no thought. Internal to webhooks.c and
 * floor.c.
 */
#ifndef GITMOOR_ADMISSION_CONDITIONS_H
#define GITMOOR_ADMISSION_CONDITIONS_H

#include "admission/webhooks.h"
#include "common/base/buf.h"
#include "common/data/object.h"

/* The object whose annotation tells the reason. */
#define CONDITION_SUBJECT "(request.operation == 'DELETE' ? oldObject : object)"
#define CONDITION_MANAGER                                                                          \
    "(has(request.options) && has(request.options.fieldManager) && "                               \
    "request.options.fieldManager == '" GITMOOR_FIELD_MANAGER "')"
#define CONDITION_BREAK_GLASS                                                                      \
    "(has(request.userInfo.groups) && '" GITMOOR_BREAK_GLASS_GROUP "' in request.userInfo.groups"  \
    " && !" CONDITION_MANAGER " && has(" CONDITION_SUBJECT                                         \
    ".metadata.annotations) && '" GITMOOR_BREAK_GLASS_ANNOTATION "' in " CONDITION_SUBJECT         \
    ".metadata.annotations && " CONDITION_SUBJECT                                                  \
    ".metadata.annotations['" GITMOOR_BREAK_GLASS_ANNOTATION "'].matches('[^ \\t\\r\\n]'))"
/* Leases and Events are written all the time and declared by nobody. */
#define CONDITION_ELSEWHERE                                                                        \
    "!(request.resource.resource == 'leases' && request.resource.group == 'coordination.k8s.io')"  \
    " && !(request.resource.resource == 'events' && request.resource.group in ['', "               \
    "'events.k8s.io'])"
/* What takes others along when it is deleted. */
#define CONDITION_DEFINITION_DELETION                                                              \
    "(request.operation == 'DELETE' && request.resource.resource == 'customresourcedefinitions' "  \
    "&& "                                                                                          \
    "request.resource.group == 'apiextensions.k8s.io')"
#define CONDITION_NAMESPACE_DELETION                                                               \
    "(request.operation == 'DELETE' && request.resource.resource == 'namespaces' && "              \
    "request.resource.group == '')"
#define CONDITION_REASON(object)                                                                   \
    "(" object " != null && has(" object                                                           \
    ".metadata.annotations) && '" GITMOOR_BREAK_GLASS_ANNOTATION "' in " object                    \
    ".metadata.annotations ? " object ".metadata.annotations['" GITMOOR_BREAK_GLASS_ANNOTATION     \
    "'] : '')"
#define CONDITION_LABELLED(object)                                                                 \
    "(" object " != null && has(" object ".metadata.labels) && '" GITMOOR_LABEL "' in " object     \
    ".metadata.labels)"
#define CONDITION_NEW_REASON CONDITION_REASON("object")
#define CONDITION_OLD_REASON CONDITION_REASON("oldObject")
#define CONDITION_UNLABELLED                                                                       \
    "!(" CONDITION_LABELLED("object") " || " CONDITION_LABELLED("oldObject") ")"
/* It is deleted, or a reason for that is written and no other entry asks about it. */
#define CONDITION_TAKES_ALONG                                                                      \
    "request.operation == 'DELETE' || (" CONDITION_NEW_REASON                                      \
    ".matches('[^ \\t\\r\\n]') && " CONDITION_NEW_REASON " != " CONDITION_OLD_REASON               \
    " && " CONDITION_UNLABELLED ")"
#define CONDITION_CHANGED(field, empty)                                                            \
    "(has(object.metadata." field ") ? object.metadata." field " : " empty ") != "                 \
    "(has(oldObject.metadata." field ") ? oldObject.metadata." field " : " empty ")"
#define CONDITION_OURS(object)                                                                     \
    "(has(" object ".metadata.managedFields) && " object ".metadata.managedFields.exists(e, "      \
    "has(e.manager) && e.manager == '" GITMOOR_FIELD_MANAGER "' && has(e.operation) && "           \
    "e.operation == 'Apply'))"
/* Our field manager is never exempt. */
#define CONDITION_NOT_TERMINATING                                                                  \
    "!(oldObject != null && has(oldObject.metadata.deletionTimestamp)) || " CONDITION_MANAGER
#define CONDITION_TOUCHES_METADATA                                                                  \
    CONDITION_CHANGED("labels", "{}")                                                               \
    " || " CONDITION_CHANGED("annotations", "{}") " || " CONDITION_CHANGED(                         \
        "ownerReferences",                                                                          \
        "[]") " || " CONDITION_CHANGED("finalizers",                                                \
                                       "[]") " || " CONDITION_OURS("oldObject") " !="               \
                                                                                " " CONDITION_OURS( \
                                                                                    "object")

/* The conditions of an entry must all hold. */
#define CONDITIONS_MAXIMUM 6
struct condition {
    const char *expression;
    void (*append)(struct buf *out, const struct webhooks_options *options); /* or made by this */
};

/* The conditions as one expression, the first first: the server evaluates every matchCondition
 * there is, but within one it stops at the first that decides. Each write of the applier passes
 * here (bench/results/apply.json). */
void condition_append_all(struct buf *out, const struct condition conditions[CONDITIONS_MAXIMUM],
                          const struct webhooks_options *options);

void condition_append_quoted(struct buf *out, const char *text); /* as a string literal */
void condition_append_not_applier(struct buf *out, const struct webhooks_options *options);
/* Not a controller at its duty, and none of the setting with a copy of the label. */
void condition_append_not_control_plane(struct buf *out, const struct webhooks_options *options);
/* None of the setting's controllers, unless it writes as manager gitmoor. */
void condition_append_not_controller(struct buf *out, const struct webhooks_options *options);

/* namespaceSelector and objectSelector of a webhook or of matchConstraints: neither kube-system nor
 * our own namespace; `labelled`: only what carries our label, before or after. */
void condition_add_selectors(cJSON *node, bool labelled, const char *namespace_);

#endif
