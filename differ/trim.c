#include "differ/trim.h"

#include "differ/differ.h"

#include <event2/event.h>
#include <malloc.h>

#define TRIM_AFTER_SECONDS 2

static void on_trim(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)context;
    malloc_trim(0);
}

void trim_open(struct differ *differ)
{
    differ->trim_timer = evtimer_new(differ->loop, on_trim, NULL);
}

void trim_later(struct differ *differ)
{
    const struct timeval after = {.tv_sec = TRIM_AFTER_SECONDS};
    if (!evtimer_pending(differ->trim_timer, NULL)) {
        evtimer_add(differ->trim_timer, &after);
    }
}

void trim_close(struct differ *differ)
{
    event_free(differ->trim_timer);
}
