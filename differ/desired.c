#include "differ/desired.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/keep.h"
#include "differ/normalise.h"

#include <string.h>

struct build {
    const struct desired_options *options;
    struct desired_set *set;
    struct problems *problems;
    struct map defined; /* "group/Kind" → struct kube_resource * in the arena */
    struct map *unknown_kinds;
};

bool desired_is_application(const struct object_ref *ref)
{
    return text_equal(ref->group, GITMOOR_GROUP) && text_equal(ref->kind, "Application");
}

struct desired_object *desired_find(const struct desired_set *set, const char *key)
{
    return set ? map_get(&set->by_key, key) : NULL;
}

bool desired_declares(const struct desired_set *set, const char *key)
{
    return set && (map_has(&set->by_key, key) || map_has(&set->hook_by_key, key));
}

struct desired_object *desired_at(const struct desired_set *set, size_t index)
{
    if (index < set->count) {
        return &set->objects[index];
    }
    index -= set->count;
    return index < set->hook_count ? &set->hooks[index].object : NULL;
}

void desired_look_again_at(struct desired_set *set, struct desired_object *object)
{
    object->left_anew = true;
    set->built = clock_monotonic_us();
}

void desired_look_again(struct desired_set *set)
{
    for (size_t i = 0; set && i < set->count; i++) {
        desired_look_again_at(set, &set->objects[i]);
    }
}

void desired_free(struct desired_set *set)
{
    if (set) {
        map_release(&set->by_key, NULL);
        map_release(&set->hook_by_key, NULL);
        arena_release(&set->arena);
        free(set->objects);
        free(set->hooks);
        free(set);
    }
}

/* Notes the kinds that a CustomResourceDefinition among the inputs brings. */
static void note_definition(struct build *build, const cJSON *object)
{
    const cJSON *spec = json_object(object, "spec");
    const char *group = json_string(spec, "group");
    const char *kind = json_string_path(spec, "names.kind");
    const char *plural = json_string_path(spec, "names.plural");
    if (!group || !kind || !plural) {
        return; /* the server says what is wrong with it */
    }
    struct arena *arena = &build->set->arena;
    struct kube_resource *resource = arena_new(arena, sizeof *resource);
    *resource = (struct kube_resource){
        .group = arena_string(arena, group),
        .kind = arena_string(arena, kind),
        .plural = arena_string(arena, plural),
        .namespaced = text_equal(json_string(spec, "scope"), "Namespaced"),
        .watchable = true,
    };
    map_set(&build->defined, arena_format(arena, "%s/%s", group, kind), resource);
}

/* Finds under which path the object is written. */
static bool find_resource(struct build *build, const struct object_ref *ref,
                          struct kube_resource *ret)
{
    const struct kube_resource *served =
        kube_discovery_find(build->options->discovery, ref->group, ref->version, ref->kind);
    struct arena *arena = &build->set->arena;
    if (!served) {
        AUTO_FREE char *name = mem_format("%s/%s", ref->group, ref->kind);
        served = map_get(&build->defined, name);
    }
    if (!served) {
        return false;
    }
    *ret = (struct kube_resource){
        .group = ref->group,
        .version = ref->version,
        .kind = ref->kind,
        .plural = arena_string(arena, served->plural),
        .namespaced = served->namespaced,
        .watchable = served->watchable,
    };
    return true;
}

static void place_in_namespace(const struct desired_options *options, bool namespaced,
                               cJSON *metadata)
{
    const char *given = json_string(metadata, "namespace");
    if (!namespaced) {
        json_remove(metadata, "namespace");
    } else if (options->target_namespace) {
        json_set(metadata, "namespace", json_new_string(options->target_namespace));
    } else if (text_is_empty(given)) {
        const char *otherwise = options->default_namespace;
        json_set(metadata, "namespace",
                 json_new_string(otherwise ? otherwise : options->namespace_));
    }
}

static bool put_label(struct build *build, const struct desired_input *input, const char *described,
                      cJSON *metadata)
{
    char value[OBJECT_LABEL_VALUE_SIZE];
    object_label_value(build->options->namespace_, build->options->application, value);
    cJSON *labels = json_ensure_object(metadata, "labels");
    const char *given = json_string(labels, GITMOOR_LABEL);
    if (given && !text_equal(given, value)) {
        problems_add(build->problems, described, input->file, input->line,
                     "the label " GITMOOR_LABEL " is Gitmoor's own and may not be set in Git: "
                     "remove it");
        return false;
    }
    json_set(labels, GITMOOR_LABEL, json_new_string(value));
    return true;
}

static void leave_fields(struct build *build, cJSON *tree, const cJSON *metadata,
                         struct desired_object *object)
{
    struct object_ref ref = object->ref;
    ref.namespace_ = text_or_empty(json_string(metadata, "namespace"));
    ignore_fields_take(build->options->ignore, &ref, tree, &build->set->arena, &object->left,
                       &object->left_count);
}

/* What its annotations ask of us. */
static bool read_words(struct build *build, const struct desired_input *input,
                       const char *described, const cJSON *metadata, struct desired_object *object)
{
    if (!order_read_wave(metadata, &object->wave)) {
        problems_add(build->problems, described, input->file, input->line,
                     "the annotation " ORDER_WAVE_ANNOTATION
                     " must be a whole number from -10000 to "
                     "10000, in quotes");
        return false;
    }
    enum keep keep = keep_read(metadata);
    if (keep == KEEP_UNCLEAR) {
        problems_add(build->problems, described, input->file, input->line,
                     "the annotation " KEEP_ANNOTATION " must be \"disabled\" or \"enabled\", not "
                     "\"%.64s\"",
                     json_string(json_object(metadata, "annotations"), KEEP_ANNOTATION));
        return false;
    }
    object->keeps = keep == KEEP_YES;
    return true;
}

/* Completes one object from its normalised tree; false if something is wrong with it. */
static bool complete_object(struct build *build, const struct desired_input *input, cJSON *tree,
                            bool is_hook, struct desired_object *object)
{
    struct arena *arena = &build->set->arena;
    struct error error;
    if (!object_ref_from_json(tree, arena, &object->ref, &error)) {
        problems_add(build->problems, "", input->file, input->line, "%s", error.message);
        return false;
    }
    const char *described = object_ref_describe(&object->ref, arena);
    if (text_is_empty(object->ref.name)) {
        problems_add(build->problems, described, input->file, input->line,
                     "metadata.generateName makes a new object each time, and is for hooks: give "
                     "metadata.name");
        return false;
    }
    if (!find_resource(build, &object->ref, &object->resource)) {
        map_set(build->unknown_kinds,
                arena_format(arena, "%s/%s/%s", object->ref.group, object->ref.version,
                             object->ref.kind),
                (void *)"");
        bool is_down = kube_discovery_is_partial(build->options->discovery, object->ref.group);
        problems_add(build->problems, described, input->file, input->line,
                     is_down ? "the cluster does not tell now whether it serves a kind %s in %s, "
                               "since the server of that group does not answer: kubectl get "
                               "apiservices says why, and the kind is looked for again when it does"
                             : "the cluster serves no kind %s in %s: install its "
                               "CustomResourceDefinition, or correct apiVersion and kind",
                     object->ref.kind, object_ref_api_version(&object->ref, arena));
        return false;
    }
    cJSON *metadata = json_object(tree, "metadata");
    place_in_namespace(build->options, object->resource.namespaced, metadata);
    leave_fields(build, tree, metadata, object);
    if (!read_words(build, input, described, metadata, object)) {
        return false;
    }
    build->set->has_waves |= object->wave != 0 && !is_hook;
    if (!put_label(build, input, described, metadata)) {
        return false;
    }

    AUTO_BUF struct buf text;
    buf_init(&text, json_default_limits.bytes);
    if (!json_write(tree, &text)) {
        problems_add(build->problems, described, input->file, input->line,
                     "the object is too large");
        return false;
    }
    object->text = arena_string_n(arena, text.data, text.size);
    object->size = text.size;
    digest_of(text.data, text.size, &object->digest);
    /* The reference again, now with its namespace, and in memory of the set. */
    const char *namespace_ = json_string(metadata, "namespace");
    object->ref = (struct object_ref){
        .group = object->ref.group,
        .version = object->ref.version,
        .kind = arena_string(arena, object->ref.kind),
        .namespace_ = arena_string(arena, text_or_empty(namespace_)),
        .name = arena_string(arena, object->ref.name),
    };
    object->resource.kind = object->ref.kind;
    object->key = object_ref_key(&object->ref, arena);
    build->set->has_applications |= desired_is_application(&object->ref);
    object->file = arena_string(arena, input->file);
    object->line = input->line;
    return true;
}

static bool parse_input(struct build *build, const struct desired_input *input, cJSON **ret)
{
    struct error error;
    if (!json_parse(input->text, input->size, NULL, ret, &error)) {
        problems_add(build->problems, "", input->file, input->line, "%s", error.message);
        return false;
    }
    return true;
}

/* How long a finished Job stays is a matter of the delete policies: the controller that the field
 * is for would take it away before its end has been seen. */
static void take_lifetime(cJSON *tree, struct desired_hook *hook)
{
    cJSON *spec = json_object(tree, "spec");
    hook->keep_for_seconds = json_int(spec, "ttlSecondsAfterFinished", -1);
    if (text_equal(json_string(tree, "kind"), "Job")) {
        json_remove(spec, "ttlSecondsAfterFinished");
    }
}

#define GENERATED_NAME_MAXIMUM 54 /* and eight digits: a Job's name is a label of its Pods */

/* A hook is made anew for each run, so a name that is to be new each time will do: one that follows
 * from its content, lest a restart of ours ran it again under another. */
static void name_hook(cJSON *tree)
{
    cJSON *metadata = json_object(tree, "metadata");
    const char *start = json_string(metadata, "generateName");
    AUTO_BUF struct buf text;
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    buf_init(&text, json_default_limits.bytes);
    if (text_is_empty(start) || !text_is_empty(json_string(metadata, "name")) ||
        !json_write(tree, &text)) {
        return; /* the rest is told of it like of any object */
    }
    digest_of(text.data, text.size, &digest);
    digest_to_hex(&digest, hex);
    AUTO_FREE char *name = mem_format("%.*s%.8s", GENERATED_NAME_MAXIMUM, start, hex);
    json_set(metadata, "name", json_new_string(name));
    json_remove(metadata, "generateName");
}

static bool is_hook(struct build *build, const struct desired_input *input, const cJSON *tree,
                    bool *ret, struct hook_spec *ret_spec)
{
    struct error error;
    if (hook_read(json_object(tree, "metadata"), ret, ret_spec, &error)) {
        return true;
    }
    problems_add(build->problems, "", input->file, input->line, "%s", error.message);
    return false;
}

static struct desired_hook *new_hook(struct build *build, const struct desired_input *input)
{
    struct desired_set *set = build->set;
    if (set->hook_count == DESIRED_HOOKS_MAXIMUM) {
        problems_add(build->problems, "", input->file, input->line, "more than %d hooks",
                     DESIRED_HOOKS_MAXIMUM);
        return NULL;
    }
    if (!set->hooks) {
        set->hooks = mem_new(DESIRED_HOOKS_MAXIMUM, sizeof *set->hooks);
    }
    return &set->hooks[set->hook_count];
}

static void add_hook(struct build *build, const struct desired_input *input, cJSON *tree,
                     const struct hook_spec *spec)
{
    struct desired_hook *hook = new_hook(build, input);
    if (!hook) {
        return;
    }
    *hook = (struct desired_hook){.spec = *spec};
    take_lifetime(tree, hook);
    name_hook(tree);
    if (complete_object(build, input, tree, true, &hook->object)) {
        hook->object.wave = spec->has_wave ? spec->wave : hook->object.wave;
        hook->ends = hook_kind_ends(hook->object.ref.group, hook->object.ref.kind);
        build->set->hook_count++;
    }
}

static void add_object(struct build *build, const struct desired_input *input)
{
    AUTO_JSON cJSON *tree = NULL;
    bool hook = false;
    struct hook_spec spec;
    if (!parse_input(build, input, &tree)) {
        return;
    }
    normalise_object(tree);
    if (!is_hook(build, input, tree, &hook, &spec)) {
        return;
    }
    if (hook) {
        add_hook(build, input, tree, &spec);
        return;
    }
    struct desired_object *object = &build->set->objects[build->set->count];
    *object = (struct desired_object){0};
    build->set->count += complete_object(build, input, tree, false, object);
}

static bool is_definition(const cJSON *tree)
{
    return text_equal(json_string(tree, "kind"), "CustomResourceDefinition") &&
           text_has_prefix(json_string(tree, "apiVersion"), "apiextensions.k8s.io/");
}

static int compare_objects(const void *left, const void *right)
{
    const struct desired_object *a = left, *b = right;
    return order_compare(&a->ref, &b->ref);
}

static bool leaves_the_same(const struct desired_object *left, const struct desired_object *right)
{
    bool same = left->left_count == right->left_count;
    for (size_t i = 0; same && i < left->left_count; i++) {
        same = text_equal(left->left[i], right->left[i]);
    }
    return same;
}

/* Carries over what is known of an object whose text did not change. */
static void inherit(const struct desired_set *before, struct desired_object *object)
{
    const struct desired_object *known = desired_find(before, object->key);
    if (!known) {
        object->left_anew = true; /* it may be live, as another application's */
        return;
    }
    object->left_anew = !leaves_the_same(known, object);
    if (digest_equal(&known->digest, &object->digest)) {
        object->synced = known->synced;
        object->adopt_version = known->adopt_version;
    }
    object->repairs = known->repairs;
    object->moves_entries = known->moves_entries;
}

static bool is_twin(struct build *build, const struct desired_object *object)
{
    struct desired_set *set = build->set;
    const struct desired_object *twin = map_get(&set->by_key, object->key);
    const struct desired_hook *hook = map_get(&set->hook_by_key, object->key);
    twin = hook ? &hook->object : twin;
    if (twin) {
        problems_add(build->problems, object_ref_describe(&object->ref, &set->arena), object->file,
                     object->line, "declared twice, also at %s:%u: remove one", twin->file,
                     twin->line);
    }
    return twin;
}

static int compare_hooks(const void *left, const void *right)
{
    const struct desired_hook *a = left, *b = right;
    return order_compare(&a->object.ref, &b->object.ref);
}

/* Sorts, finds objects that are declared twice, and fills the indexes. */
static void index_set(struct build *build)
{
    struct desired_set *set = build->set;
    qsort(set->objects, set->count, sizeof *set->objects, compare_objects);
    if (set->hook_count > 0) {
        set->hooks = mem_resize(set->hooks, set->hook_count, sizeof *set->hooks); /* mostly one */
        qsort(set->hooks, set->hook_count, sizeof *set->hooks, compare_hooks);
    }
    for (size_t i = 0; i < set->count; i++) {
        struct desired_object *object = &set->objects[i];
        if (!is_twin(build, object)) {
            map_set(&set->by_key, object->key, object);
            inherit(build->options->before, object);
        }
    }
    for (size_t i = 0; i < set->hook_count; i++) {
        struct desired_hook *hook = &set->hooks[i];
        if (!is_twin(build, &hook->object)) {
            map_set(&set->hook_by_key, hook->object.key, hook);
        }
    }
}

static void digest_set(struct desired_set *set)
{
    struct digest_state *state = digest_new();
    const struct desired_object *object;
    for (size_t i = 0; (object = desired_at(set, i)); i++) {
        digest_update(state, object->key, strlen(object->key) + 1);
        digest_update(state, object->digest.bytes, sizeof object->digest.bytes);
    }
    digest_finish(state, &set->content);
}

struct desired_set *desired_build(const struct desired_options *options,
                                  const struct desired_input *inputs, size_t count,
                                  struct problems *problems, struct map *unknown_kinds)
{
    struct build build = {.options = options,
                          .set = NEW(struct desired_set),
                          .problems = problems,
                          .unknown_kinds = unknown_kinds};
    arena_init(&build.set->arena);
    map_init(&build.set->by_key);
    map_init(&build.set->hook_by_key);
    map_init(&build.defined);
    build.set->objects = mem_new(count, sizeof *build.set->objects);

    /* Two passes, one tree at a time: a custom resource may stand before its definition. */
    for (size_t i = 0; i < count; i++) {
        if (!memmem(inputs[i].text, inputs[i].size, "CustomResourceDefinition",
                    strlen("CustomResourceDefinition"))) {
            continue;
        }
        AUTO_JSON cJSON *tree = NULL;
        if (json_parse(inputs[i].text, inputs[i].size, NULL, &tree, NULL) && is_definition(tree)) {
            note_definition(&build, tree);
        }
    }
    for (size_t i = 0; i < count; i++) {
        add_object(&build, &inputs[i]);
    }
    index_set(&build);
    digest_set(build.set);
    build.set->built = clock_monotonic_us();
    map_release(&build.defined, NULL);
    return build.set;
}
