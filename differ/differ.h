/* The differ: what its parts share. It owns nothing that cannot be made again from the API server
 * and from Git.
 *
 *   repository.c   a revision announced → pack asked for, unpacked, looked at for what has changed
 *   pack.c         the objects of a commit, asked of the fetcher
 *   application.c  an Application: its spec, and the queue of those with something to do
 *   spec.c         what its spec asks for
 *   run.c          one run of the worker: a look at a revision, or a build
 *   builds.c       what other programs render: one queue, in which repositories take turns
 *   answer.c       what the worker rendered → desired sets, one by one
 *   whole.c        what has to wait until all of a revision is rendered
 *   claims.c       which application holds which object
 *   permit.c       what the tenancy settings refuse
 *   depends.c      which others it waits for
 *   wave.c         which of its objects wait for the health of others
 *   reconcile.c    desired against live: what is done next
 *   recognise.c    what was applied before its text was known here
 *   selection.c    what is to be applied, repaired and pruned
 *   dispatch.c     the plan under way: sent, sent again, cancelled
 *   result.c       what the applier answered
 *   health.c       are its objects healthy, and for how long have we waited?
 *   health_checks.c  which health rules hold for which object
 *   rollback.c     an earlier revision in the place of the newest
 *   hook.c         what an object says of being a hook, and how a live one has ended
 *   hooks.c        hooks: run for each revision, before it, after it, or when it has failed
 *   hook_record.c  which have been run, in the status
 *   drift.c        is a live object what Git declares?
 *   owners.c       who owns its fields, and who should
 *   drift_watch.c  drift as the watch tells of it: who changed what (blame.c), noted (drift_log.c)
 *   break_glass.c  repairs suspended for a time
 *   fight.c        who keeps changing what is repaired
 *   status.c       what the Application's status says, and the Events
 *   inventory.c    where its objects are, in the status
 *   live.c         the live objects          desired.c   the declared ones
 *   kinds.c        which kinds the cluster serves
 *   charts.c       what charts are told of it, and the values that it holds
 *
 * Everything is level-triggered: whatever happens wakes the applications that it concerns, and
 * application_work looks at the whole state and does the next thing that is due. */
#ifndef GITMOOR_DIFFER_DIFFER_H
#define GITMOOR_DIFFER_DIFFER_H

#include "common/base/map.h"
#include "common/bus/bus.h"
#include "common/kube/resource.h"
#include "common/kube/status.h"
#include "common/kube/watch.h"
#include "common/run/members.h"
#include "common/run/tenancy_file.h"
#include "differ/live.h"
#include "differ/managers.h"
#include "differ/settings.h"

struct event;
struct application;
struct builds;
struct health_checks;
struct served;

struct differ {
    const struct differ_settings *settings;
    struct process *process;
    struct event_base *loop;
    struct tenancy_file *tenancy;
    struct kube_client *client;
    struct kube_event_recorder *recorder;

    struct bus *bus;
    struct members *members;

    struct kube_discovery *discovery;        /* NULL until first read */
    bool discovery_loading, discovery_asked; /* it is to be read; it has been asked for */
    bool discovery_again;                    /* something has changed since it was asked for */
    int64_t discovery_loaded_at;             /* monotonic ms */
    struct served *definitions, *services;
    char *kube_version;       /* "v1.35.4"; NULL: not known */
    char *api_versions;       /* what charts are told of discovery */
    char *chart_capabilities; /* both, to notice a change */

    struct kube_store *repository_objects;
    struct kube_store *helm_repository_objects;
    struct kube_store *application_objects;
    struct map repositories; /* "namespace/name" → struct repository * */
    struct map applications; /* "namespace/name" → struct application *; this replica's share */
    struct map by_label;     /* label value → struct application * */
    struct map elsewhere;    /* label value → key of an application that another replica has */
    struct map claims;       /* object key → struct application *: who declares it */

    cJSON *generators; /* programs that the operator allows, or NULL */
    char *memory;      /* our own directory in memory; NULL: there is none */

    struct managers people; /* whose fields are taken over */
    struct health_checks *health_checks;

    struct live *live;
    bool started; /* start.h */
    struct event *start_timer;

    struct builds *builds; /* builds.h */
    size_t looks;          /* repositories that are looked at now */
    uint64_t look_turns;   /* given so far */

    struct application *queue_first, *queue_last; /* woken */
    struct event *queue_event;
    size_t busy;               /* applications that something is under way for */
    struct event *kinds_timer; /* pending: there may be kinds that nobody needs any more */
    uint64_t plans;            /* made so far, for their ids */
};

bool differ_open(struct differ *differ, struct process *process,
                 const struct differ_settings *settings, struct error *error);
void differ_close(struct differ *differ);

/* The GitRepository or HelmRepository of that word (object_source_word), or NULL. */
const cJSON *differ_source_object(const struct differ *differ, const char *namespace_,
                                  const char *word);

#endif
