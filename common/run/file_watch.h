/* Tells when a file becomes another one, as when Kubernetes replaces a mounted ConfigMap: looks at
 * it each second, since what is replaced there are links further up the path. */
#ifndef GITMOOR_RUN_FILE_WATCH_H
#define GITMOOR_RUN_FILE_WATCH_H

struct event_base;
struct file_watch;

/* What is written from now on is told, so the caller reads the file after this. It need not exist;
 * that it comes or goes is told too. */
struct file_watch *file_watch_new(struct event_base *base, const char *path,
                                  void (*changed)(void *context), void *context);
void file_watch_free(struct file_watch *watch); /* NULL is fine */
/* Looks at the file now. */
void file_watch_poll(struct file_watch *watch);

#endif
