#include "common/run/file_watch.h"

#include "common/base/memory.h"

#include <event2/event.h>
#include <stdbool.h>
#include <sys/stat.h>

#define POLL_SECONDS 1

struct file_watch {
    char *path;
    void (*changed)(void *context);
    void *context;
    struct stat seen; /* zeroed: it was not there */
    struct event *timer;
};

static bool is_same(const struct stat *left, const struct stat *right)
{
    return left->st_ino == right->st_ino && left->st_dev == right->st_dev &&
           left->st_size == right->st_size && left->st_mtim.tv_sec == right->st_mtim.tv_sec &&
           left->st_mtim.tv_nsec == right->st_mtim.tv_nsec;
}

static void look(const char *path, struct stat *ret)
{
    if (stat(path, ret) != 0) {
        *ret = (struct stat){0};
    }
}

void file_watch_poll(struct file_watch *watch)
{
    struct stat now;
    look(watch->path, &now);
    if (!is_same(&now, &watch->seen)) {
        watch->seen = now;
        watch->changed(watch->context);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    file_watch_poll(context);
}

struct file_watch *file_watch_new(struct event_base *base, const char *path,
                                  void (*changed)(void *context), void *context)
{
    struct file_watch *watch = NEW(struct file_watch);
    const struct timeval pause = {.tv_sec = POLL_SECONDS};
    watch->path = mem_string(path);
    watch->changed = changed;
    watch->context = context;
    look(path, &watch->seen);
    watch->timer = event_new(base, -1, EV_PERSIST, on_timer, watch);
    event_add(watch->timer, &pause);
    return watch;
}

void file_watch_free(struct file_watch *watch)
{
    if (watch) {
        event_free(watch->timer);
        free(watch->path);
        free(watch);
    }
}
