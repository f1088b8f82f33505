/* The file of the tenancy settings, read anew whenever it changes, as when Kubernetes replaces a
 * mounted ConfigMap. A file that is broken, or gone, leaves the settings as they were; the gauge
 * gitmoor_tenancy_current is 0 until it is mended. */
#ifndef GITMOOR_RUN_TENANCY_FILE_H
#define GITMOOR_RUN_TENANCY_FILE_H

#include "common/run/tenancy.h"

struct event_base;
struct tenancy_file;

struct tenancy_file_options {
    struct event_base *base;
    const char *path;               /* NULL or "": no settings, ever */
    void (*changed)(void *context); /* other settings apply from now on */
    void (*trouble)(const struct error *error, void *context); /* the new file is not used */
    void *context;
};

/* A broken file is an error here: there is nothing older to keep. */
bool tenancy_file_open(const struct tenancy_file_options *options, struct tenancy_file **ret,
                       struct error *error);
void tenancy_file_free(struct tenancy_file *file); /* NULL is fine */

/* The settings in force, NULL if there are none; until the loop runs again. `file` may be NULL. */
const struct tenancy *tenancy_file_get(const struct tenancy_file *file);
/* Looks at the file now; the timer does it each second. */
void tenancy_file_poll(struct tenancy_file *file);

#endif
