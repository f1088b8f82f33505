/* What an Application's spec adds to what is built: a kustomization of our own, above that of the
 * directory, or above its plain manifests. It stands beside the copy of the files (TREE), outside
 * of anything that the repository could name. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/render/internal.h"

#include <string.h>

static const cJSON *overlay_spec(const struct render_scan *scan)
{
    return json_object(scan->options.spec, "kustomize");
}

bool render_overlay_is_wanted(const struct render_scan *scan)
{
    return json_size(overlay_spec(scan)) > 0 ||
           (scan->type == RENDER_KUSTOMIZE && scan->options.target_namespace);
}

const char *render_overlay_component(const struct render_scan *scan, size_t index)
{
    const cJSON *item = json_first(json_array(overlay_spec(scan), "components"));
    for (; item && index; index--) {
        item = item->next;
    }
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* ---- The kustomization ---- */

static void overlay_add_path(cJSON *list, const char *path)
{
    AUTO_FREE char *inside = *path ? mem_format(RENDER_TREE "/%s", path) : mem_string(RENDER_TREE);
    json_append(list, json_new_string(inside));
}

static void overlay_add_resources(struct render_scan *scan, cJSON *overlay)
{
    cJSON *resources = json_add_array(overlay, "resources");
    if (scan->type == RENDER_KUSTOMIZE) {
        overlay_add_path(resources, scan->path);
        return;
    }
    for (size_t i = 0; i < scan->count; i++) {
        overlay_add_path(resources, scan->items[i].path);
    }
}

static void overlay_add_components(struct render_scan *scan, cJSON *overlay)
{
    cJSON *components = NULL;
    const char *value;
    for (size_t i = 0; (value = render_overlay_component(scan, i)); i++) {
        const char *path = render_tree_join(&scan->arena, scan->path, value);
        if (path) {
            components = components ? components : json_add_array(overlay, "components");
            overlay_add_path(components, path);
        }
    }
}

/* Labels as Flux and Argo CD users expect them: on the objects, not in their selectors. */
static void overlay_add_metadata(const cJSON *spec, cJSON *overlay)
{
    const cJSON *metadata = json_object(spec, "commonMetadata");
    const cJSON *pairs = json_object(metadata, "labels");
    if (json_size(pairs)) {
        cJSON *item = json_append(json_add_array(overlay, "labels"), json_new_object());
        json_add(item, "pairs", json_copy(pairs));
    }
    json_add(overlay, "commonAnnotations", json_copy(json_object(metadata, "annotations")));
}

bool render_overlay_write(struct render_scan *scan, struct buf *out)
{
    static const char *const same[] = {"patches", "images", "namePrefix", "nameSuffix"};
    const cJSON *spec = overlay_spec(scan);
    AUTO_JSON cJSON *overlay = json_new_object();
    json_add_string(overlay, "apiVersion", "kustomize.config.k8s.io/v1beta1");
    json_add_string(overlay, "kind", "Kustomization");
    overlay_add_resources(scan, overlay);
    overlay_add_components(scan, overlay);
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        json_add(overlay, same[i], json_copy(json_get(spec, same[i])));
    }
    overlay_add_metadata(spec, overlay);
    json_add_string(overlay, "namespace", scan->options.target_namespace);
    return json_write(overlay, out);
}
