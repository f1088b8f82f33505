#include "admission/message.h"

#include "common/base/text.h"

#include <string.h>

#define MESSAGE_MAXIMUM ((size_t)16384)
#define PATH_SHOWN 256 /* bytes of one path: keys of list items may be of any length */

/* A Scale is shown as what it scales, since that is the object people know. */
static const char *scaled_kind(const char *resource)
{
    static const char *const kinds[][2] = {
        {"deployments", "Deployment"},
        {"statefulsets", "StatefulSet"},
        {"replicasets", "ReplicaSet"},
        {"replicationcontrollers", "ReplicationController"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(resource, kinds[i][0]) == 0) {
            return kinds[i][1];
        }
    }
    return resource; /* a custom resource: its kind is not in the review */
}

void message_describe(const struct request *request, struct arena *arena, struct verdict *verdict)
{
    const char *name = request->name;
    const char *prefix = json_string_path(request->object, "metadata.generateName");
    if (*name == '\0') {
        name = prefix ? arena_format(arena, "%s…", prefix) : "(without a name)";
    }
    bool scale = strcmp(request->subresource, "scale") == 0;
    struct object_ref ref = {
        .group = request->group,
        .version = "",
        .kind = scale ? scaled_kind(request->resource) : request->kind,
        .namespace_ = request->namespace_,
        .name = name,
    };
    verdict->object = object_ref_describe(&ref, arena);
    verdict->key = object_ref_key(&ref, arena);
}

/* Appends at most PATH_SHOWN bytes, never cut inside a character. */
static void append_path(struct buf *out, const char *path)
{
    size_t size = strlen(path);
    if (size <= PATH_SHOWN) {
        buf_append(out, path, size);
        return;
    }
    size = PATH_SHOWN;
    while (size > 0 && ((unsigned char)path[size] & 0xC0) == 0x80) {
        size--;
    }
    buf_append(out, path, size);
    buf_append_string(out, "…");
}

static void append_fields(struct buf *out, const struct paths *fields)
{
    size_t named = fields->count < MESSAGE_FIELDS_NAMED ? fields->count : MESSAGE_FIELDS_NAMED;
    for (size_t i = 0; i < named; i++) {
        bool last = i + 1 == fields->count;
        buf_append_string(out, i == 0 ? "" : last ? " and " : ", ");
        append_path(out, fields->items[i]);
    }
    if (fields->count > named) {
        buf_append_format(out, " and %zu more", fields->count - named);
    }
}

const char *message_path(const char *text, struct arena *arena)
{
    AUTO_BUF struct buf out;
    buf_init(&out, MESSAGE_MAXIMUM);
    append_path(&out, text);
    return arena_string(arena, out.data);
}

const char *message_fields(const struct paths *fields, struct arena *arena)
{
    AUTO_BUF struct buf out;
    buf_init(&out, MESSAGE_MAXIMUM);
    append_fields(&out, fields);
    return arena_string(arena, out.data);
}

/* "prod/shop" of the label "prod.shop". A namespace holds no dot, so the first one divides; a value
 * of full length may be a digest and is shown as it stands. */
static void append_unknown_owner(struct buf *out, const char *label, bool abandoned)
{
    const char *why = abandoned ? "which does not exist any more" : "not known to admission yet";
    const char *dot = strchr(label, '.');
    if (*label == '\0') {
        buf_append_string(out, "an application that admission does not know");
    } else if (dot && strlen(label) < OBJECT_LABEL_VALUE_SIZE - 1) {
        buf_append_format(out, "application %.*s/%s (%s)", (int)(dot - label), label, dot + 1, why);
    } else {
        buf_append_format(out, "the application labelled %s (%s)", label, why);
    }
}

static void append_owner(struct buf *out, const struct application *owner)
{
    buf_append_format(out, "application %s/%s", owner->namespace_, owner->name);
    if (!owner->repository) {
        return; /* as with an Application that the API server would refuse */
    }
    bool elsewhere = !text_equal(owner->source_namespace, owner->namespace_);
    const char *kind, *name = object_source_name(owner->repository, &kind);
    buf_append_format(
        out, " (%s %s%s%s, path %s", text_equal(kind, "HelmRepository") ? kind : "repository",
        elsewhere ? owner->source_namespace : "", elsewhere ? "/" : "", name, owner->path);
    if (owner->revision) {
        buf_append_format(out, ", revision %s", owner->revision);
    }
    buf_append_char(out, ')');
}

static void append_owners(struct buf *out, const struct verdict *verdict)
{
    if (verdict->owner_count == 0) {
        append_unknown_owner(out, verdict->label, verdict->abandoned);
        return;
    }
    size_t named =
        verdict->owner_count < VERDICT_OWNERS_NAMED ? verdict->owner_count : VERDICT_OWNERS_NAMED;
    for (size_t i = 0; i < named; i++) {
        bool last = i + 1 == verdict->owner_count;
        buf_append_string(out, i == 0 ? "" : last ? " and " : ", ");
        append_owner(out, verdict->owners[i]);
    }
    if (verdict->owner_count > named) {
        buf_append_format(out, " and %zu more", verdict->owner_count - named);
    }
}

static void append_scale(struct buf *out, const struct verdict *verdict)
{
    buf_append_format(out, "%s is managed by Git: .spec.replicas is declared by ", verdict->object);
    if (verdict->owner_count > 1) { /* a Scale does not say whose it is */
        buf_append_string(out, "one of these: ");
    }
    append_owners(out, verdict);
}

static void append_namespace(struct buf *out, const struct request *request,
                             const struct verdict *verdict)
{
    const char *why = loss_is_ours(request->old)
                          ? "is managed by Git: deleting it deletes what is declared by"
                          : "holds objects that are managed by Git, declared by";
    buf_append_format(out, "%s %s ", verdict->object, why);
    append_owners(out, verdict);
}

static void append_definition(struct buf *out, const struct request *request,
                              const struct verdict *verdict)
{
    const char *kind = json_string_path(request->old, "spec.names.kind");
    buf_append_format(out,
                      "%s defines objects that are managed by Git, and they would be deleted with "
                      "it: %s is declared by ",
                      verdict->object, text_or_empty(kind));
    append_owners(out, verdict);
}

/* What is wrong, and who declares it: a sentence without its full stop. */
static void append_finding(struct buf *out, const struct request *request,
                           const struct verdict *verdict)
{
    switch (verdict->rule) {
    case RULE_FIELD_MANAGER:
        buf_append_format(out,
                          "field manager " GITMOOR_FIELD_MANAGER
                          " is reserved for Gitmoor's applier: %s may not write %s in its name",
                          *request->user ? request->user : "this user", verdict->object);
        return;
    case RULE_FIELDS:
    case RULE_OWNER_REFERENCE:
        buf_append_format(out, "%s is managed by Git: ", verdict->object);
        append_fields(out, &verdict->fields);
        buf_append_string(out, verdict->rule == RULE_OWNER_REFERENCE ? " is not declared by "
                               : verdict->fields.count == 1          ? " is declared by "
                                                                     : " are declared by ");
        append_owners(out, verdict);
        return;
    case RULE_CLAIM:
        buf_append_format(out,
                          "%s claims to be managed by Git: only Gitmoor's applier may add the "
                          "label " GITMOOR_LABEL
                          " or a managedFields entry of manager " GITMOOR_FIELD_MANAGER
                          ", here in the name of ",
                          verdict->object);
        append_owners(out, verdict);
        return;
    case RULE_SCALE:
        append_scale(out, verdict);
        return;
    case RULE_DELETE:
        buf_append_format(out, "%s is managed by Git: it is declared by ", verdict->object);
        append_owners(out, verdict);
        return;
    case RULE_NAMESPACE:
        append_namespace(out, request, verdict);
        return;
    case RULE_DEFINITION:
        append_definition(out, request, verdict);
        return;
    case RULE_REASON:
        buf_append_format(
            out,
            "only break-glass may write the annotation " GITMOOR_BREAK_GLASS_ANNOTATION " of %s",
            verdict->object);
        if (loss_is_ours(request->old)) {
            buf_append_string(out, ", which is declared by ");
            append_owners(out, verdict);
        }
        return;
    case RULE_NONE:
        return;
    }
}

/* What to do instead: a sentence. */
static void append_remedy(struct buf *out, const struct verdict *verdict)
{
    switch (verdict->rule) {
    case RULE_FIELD_MANAGER:
        buf_append_string(out, "Choose another --field-manager, and leave what managedFields tells "
                               "of this one as it is.");
        return;
    case RULE_FIELDS:
        buf_append_string(out,
                          verdict->fields.count == 1 ? "Change it in Git." : "Change them in Git.");
        break;
    case RULE_OWNER_REFERENCE:
        buf_append_string(out, "It would let the garbage collector delete the object; declare it "
                               "in Git if it is wanted.");
        return;
    case RULE_CLAIM:
        buf_append_string(out, "Declare the object in Git, or leave the label and the entry out.");
        return;
    case RULE_SCALE:
        buf_append_string(out, "Change it in Git.");
        break;
    case RULE_DELETE:
        buf_append_string(out, "Remove it from Git.");
        return;
    case RULE_NAMESPACE:
    case RULE_DEFINITION:
        buf_append_string(out, "Remove them from Git first.");
        return;
    case RULE_REASON:
        buf_append_string(out, "Leave it out, or write it as break-glass.");
        break;
    case RULE_NONE:
        return;
    }
    for (size_t i = 0; i < verdict->fields.count; i++) {
        if (strcmp(verdict->fields.items[i], ".spec.replicas") == 0) {
            buf_append_string(out, " To have it scaled by others, leave replicas out of Git or "
                                   "list it under the Application's ignore.");
            return;
        }
    }
}

static void append_break_glass(struct buf *out, const struct verdict *verdict)
{
    if (verdict->rule == RULE_FIELD_MANAGER || verdict->rule == RULE_CLAIM) {
        return;
    }
    if (verdict->break_glass) {
        buf_append_string(
            out, " Break-glass needs a reason in the annotation " GITMOOR_BREAK_GLASS_ANNOTATION
                 " of the object, and there is none.");
        return;
    }
    const char *where = "";
    if (verdict->rule == RULE_DELETE || verdict->rule == RULE_NAMESPACE ||
        verdict->rule == RULE_DEFINITION) {
        where = ", set beforehand";
    } else if (verdict->rule == RULE_SCALE) {
        where = ", set beforehand, or of the Scale that is sent";
    }
    buf_append_format(
        out,
        " In an emergency use break-glass: impersonate the group " GITMOOR_BREAK_GLASS_GROUP
        " (--as-group), with the reason in the annotation " GITMOOR_BREAK_GLASS_ANNOTATION
        " of the object%s; gitmoor break-glass suspends the repair.",
        where);
}

const char *message_compose(const struct request *request, const struct verdict *verdict,
                            struct arena *arena)
{
    AUTO_BUF struct buf out;
    buf_init(&out, MESSAGE_MAXIMUM);
    append_finding(&out, request, verdict);
    buf_append_string(&out, ". ");
    switch (verdict->outcome) {
    case VERDICT_BREAK_GLASS:
        buf_append_string(&out, "Let through by break-glass; unless repairs are suspended (gitmoor "
                                "break-glass), Git's state will be restored.");
        break;
    case VERDICT_WARN:
        if (verdict->abandoned) {
            buf_append_string(&out, "Let through, since nobody keeps it as it was in Git.");
            break;
        }
        append_remedy(&out, verdict);
        buf_append_string(&out, " Let through, since the application's protection is Warn.");
        break;
    case VERDICT_REFUSE:
        append_remedy(&out, verdict);
        append_break_glass(&out, verdict);
        break;
    case VERDICT_ALLOW:
        break;
    }
    return arena_string(arena, out.data);
}
