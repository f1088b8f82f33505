/* The applier's side of the link with the differ: takes plans, gives results (ARCHITECTURE.md,
 * "Links"). Everything is idempotent: a plan that is under way goes on, and one that is done is
 * answered with the result that is kept, for a while. */
#ifndef GITMOOR_APPLIER_LINK_H
#define GITMOOR_APPLIER_LINK_H

#include "applier/schedule.h"
#include "common/bus/bus.h"

struct link;

struct link *link_new(struct event_base *base);
void link_free(struct link *link);
/* Both exist only once the link does, since they call it. */
void link_attach(struct link *link, struct bus *bus, struct schedule *schedule);
/* Until it is ready, plans are not taken: they will be sent again. */
void link_set_ready(struct link *link, bool ready);
/* Whether that differ has the application ("namespace/name"). If not, its plans are not taken for
 * now: one that is cut off from the API server does not know that another has it by now. NULL: any
 * differ may ask for anything. */
typedef bool (*link_may_ask_fn)(struct bus_peer *differ, const char *application, void *context);
void link_set_gate(struct link *link, link_may_ask_fn may_ask, void *context);

/* For struct bus_handlers; the context is the link. */
bool link_take_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                    void *context);
/* For struct schedule_options. */
void link_take_result(const char *id, enum result_outcome outcome, char *text, size_t size,
                      void *context);
/* A replica of the differ is gone: what it asked for is carried out, but answered to nobody. */
void link_forget_peer(struct bus_peer *peer, void *link);

#endif
