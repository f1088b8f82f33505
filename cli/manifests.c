#include "cli/manifests.h"

#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- The containment root ---- */

/* The directory above `directory` (or it) that holds a .git, in place; false if there is none. */
static bool manifests_find_work_tree(char *directory)
{
    for (;;) {
        AUTO_FREE char *git = mem_format("%s/.git", directory);
        if (access(git, F_OK) == 0) {
            return true;
        }
        char *slash = strrchr(directory, '/');
        if (!slash || directory[1] == '\0') {
            return false;
        }
        slash[slash == directory] = '\0';
    }
}

const char *manifests_below(const char *root, const char *directory)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(root, directory, length) != 0 ||
        (directory[length] != '/' && directory[length] != '\0')) {
        return NULL;
    }
    return directory + length + (directory[length] == '/');
}

bool manifests_find_root(const char *asked, const char *directory, char ret_root[PATH_MAX],
                         struct error *error)
{
    if (asked) {
        if (!realpath(asked, ret_root)) {
            return error_set_errno(error, errno, "cannot open the directory %s", asked);
        }
        return manifests_below(ret_root, directory)
                   ? true
                   : error_set(error, ERROR_INVALID, "%s is not inside of --root %s", directory,
                               ret_root);
    }
    snprintf(ret_root, PATH_MAX, "%s", directory);
    if (manifests_find_work_tree(ret_root)) {
        return true;
    }
    if (!getcwd(ret_root, PATH_MAX) || !manifests_below(ret_root, directory)) {
        snprintf(ret_root, PATH_MAX, "%s", directory);
    }
    return true;
}

/* ---- Rendering ---- */

#define IN_MEMORY "/dev/shm"

/* A directory of our own; its path without links, as the sandbox wants it. */
static bool manifests_make_directory(const char *above, char ret[PATH_MAX], struct error *error)
{
    AUTO_FREE char *made = mem_format("%s/gitmoor-render-XXXXXX", above);
    if (!mkdtemp(made) || !realpath(made, ret)) {
        return error_set_errno(error, errno, "cannot make the directory %s", made);
    }
    return true;
}

/* Other programs build in one directory, and what is decrypted for them stands in another. */
static bool manifests_build(struct source *source, struct render_scan *scan, bool decrypts,
                            const struct render_sink *sink, struct error *error)
{
    char scratch[PATH_MAX], memory[PATH_MAX] = "";
    struct error problem = {0};
    struct render_builder builder = {.scratch = scratch,
                                     .timeout_ms = RENDER_TIMEOUT_MS,
                                     .memory_maximum = RENDER_MEMORY_MAXIMUM,
                                     .memory_problem = problem.message};
    if (decrypts && directory_is_in_memory(IN_MEMORY, &problem) &&
        manifests_make_directory(IN_MEMORY, memory, &problem)) {
        builder.memory = memory;
    }
    const char *temporary = getenv("TMPDIR");
    bool built = render_scan_is_built(scan);
    bool ok = (!built || manifests_make_directory(text_is_empty(temporary) ? "/tmp" : temporary,
                                                  scratch, error)) &&
              render_run(source, scan, &builder, sink, error);
    if (built) {
        rmdir(scratch); /* of which nothing is left if it was used */
    }
    if (builder.memory) {
        directory_remove(memory, NULL);
    }
    return ok;
}

bool manifests_render(struct source *source, const struct render_options *options,
                      const struct render_sink *sink, struct error *error)
{
    AUTO_SCAN struct render_scan *scan = NULL;
    return render_scan(source, options, &scan, error) &&
           manifests_build(source, scan, options->decryption, sink, error);
}
