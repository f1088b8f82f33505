/* The worker. Everything that can turn out to be missing is looked for before the first line of the
 * answer is written: so a negative answer is the only line, and a positive one holds to its end.
 *
 * Cost: one look at the names of each application (a few tree lookups); only those whose key
 * changed are parsed. */
#include "differ/worker_internal.h"

#include "common/base/clock.h"
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/run/child.h"
#include "common/run/sandbox.h"
#include "differ/render/generators.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/stat.h>
#include <unistd.h>

static void worker_release(struct worker *worker)
{
    for (size_t i = 0; i < worker->count; i++) {
        worker_end_application(&worker->applications[i]);
    }
    if (worker->loop) {
        event_base_free(worker->loop);
    }
    free(worker->applications);
    free(worker->scratch);
    source_free(worker->source);
    odb_close(worker->odb);
    json_free(worker->request);
}
#define AUTO_WORKER __attribute__((cleanup(worker_release)))

/* ---- A negative answer ---- */

static bool worker_refuse(FILE *out, const char *reason, const struct error *why,
                          struct error *error)
{
    AUTO_JSON cJSON *line = json_new_object();
    json_add_bool(line, "ok", false);
    json_add_string(line, "reason", reason);
    json_add_string(line, "message", why->message);
    return worker_print(out, line, error);
}

/* What is wrong with the repository, in the words of worker.h; and what follows from it. */
static const char *worker_judge(struct worker *worker, const struct error *why)
{
    switch (why->code) {
    case ERROR_SYSTEM:
        return "system";
    case ERROR_UNAVAILABLE:
        /* A commit that was never sent says nothing about those that were. */
        if (worker->pack || odb_has(worker->odb, worker->commit)) {
            odb_forget(worker->odb, NULL);
        }
        return "missing-objects";
    case ERROR_INTERNAL:
        if (worker->scratch) {
            odb_forget(worker->odb, NULL); /* others may read it: whoever may will empty it */
        } else {
            odb_empty(worker->odb, NULL);
        }
        return "missing-objects";
    default:
        return "invalid-request";
    }
}

/* ---- A positive answer ---- */

/* Everything before the first line. */
static bool worker_prepare(struct worker *worker, struct error *error)
{
    if (!odb_open_commit(worker->odb, worker->commit, &worker->source, error)) {
        return false;
    }
    for (size_t i = 0; i < worker->count; i++) {
        if (!worker_scan(worker, &worker->applications[i], error)) {
            return false;
        }
    }
    return worker->scratch || odb_hold(worker->odb, worker->commit, error);
}

static bool worker_has_time(const struct worker *worker)
{
    return worker->begin_until == 0 || clock_monotonic_ms() <= worker->begin_until;
}

static bool worker_print_all(struct worker *worker, FILE *out, struct error *error)
{
    AUTO_JSON cJSON *head = json_new_object();
    json_add_string(head, "commit", worker->commit);
    json_add_bool(head, "ok", true);
    if (!worker_print(out, head, error)) {
        return false;
    }
    for (size_t i = 0; i < worker->count && (i == 0 || worker_has_time(worker)); i++) {
        if (!worker_answer_one(worker, &worker->applications[i], out, error)) {
            return false;
        }
        worker_end_application(&worker->applications[i]);
    }
    return true;
}

/* What builds were made of; a killed worker has left it. */
static void worker_remove_scratch(const struct worker *worker)
{
    AUTO_FREE char *all = mem_format("%s/" WORKER_SCRATCH, worker->repository);
    if (worker->scratch || worker->tidies) {
        directory_remove(worker->scratch ? worker->scratch : all, NULL);
    }
    if (worker->memory) {
        directory_clear(worker->memory);
    }
}

/* Where what is decrypted may stand; without such a place, what needs it is refused. */
static void worker_open_memory(struct worker *worker)
{
    struct error *why = &worker->memory_problem;
    if (!worker->memory) {
        error_set(why, ERROR_INVALID, "no directory for it is set");
    } else if (!directory_make_private(worker->memory, why) ||
               !directory_is_in_memory(worker->memory, why)) {
        worker->memory = NULL;
    }
}

static bool worker_answer(struct worker *worker, FILE *out, struct error *error)
{
    struct error why = {0};
    worker_remove_scratch(worker);
    if (!odb_open(worker->repository, &worker->odb, &why) ||
        (!worker->scratch && !odb_remove_leftovers(worker->odb, &why))) {
        return worker_refuse(out, "system", &why, error);
    }
    if (worker->pack && !odb_index_pack(worker->odb, worker->pack, &why)) {
        if (why.code == ERROR_SYSTEM) {
            return worker_refuse(out, "system", &why, error);
        }
        odb_forget(worker->odb, NULL);
        return worker_refuse(out, "invalid-pack", &why, error);
    }
    if (!worker_prepare(worker, &why)) {
        return worker_refuse(out, worker_judge(worker, &why), &why, error);
    }
    if (!worker_print_all(worker, out, error)) {
        return false;
    }
    worker_remove_scratch(worker);
    source_free(worker->source);
    worker->source = NULL;
    if (worker->tidies) {
        /* A merge that fails is tried again with the next pack; nothing is lost by it. */
        odb_compact(worker->odb, ODB_PACKS_MAXIMUM, NULL);
    }
    return true;
}

bool worker_run(const char *request, size_t size, FILE *out, struct error *error)
{
    AUTO_WORKER struct worker worker = {0};
    struct error why = {0};
    bool ok = worker_read_request(&worker, request, size, &why);
    if (ok) {
        worker_open_memory(&worker);
    }
    ok = ok ? worker_answer(&worker, out, error)
            : worker_refuse(out, "invalid-request", &why, error);
    if (ok && fflush(out)) {
        return error_set_errno(error, errno, "cannot write the answer");
    }
    return ok;
}

#ifdef __SANITIZE_ADDRESS__
#define SANITIZER_FILES "/proc" /* the leak check at the end reads its own threads and mappings */
#else
#define SANITIZER_FILES "/dev/null"
#endif

#define WORKER_PROGRAMS_MAXIMUM 8

/* Those that are there, ended by NULL. */
static void worker_find_programs(char *ret[WORKER_PROGRAMS_MAXIMUM + 1])
{
    size_t count = 0;
    for (size_t i = 0; render_programs[i] && count < WORKER_PROGRAMS_MAXIMUM; i++) {
        ret[count] = child_find_program(render_programs[i]);
        count += ret[count] != NULL;
    }
}

/* Only the repository can be written and only the pack be read from here on. */
static bool worker_enter_sandbox(const struct worker *worker, struct error *error)
{
    char *programs[WORKER_PROGRAMS_MAXIMUM + 1] = {0};
    if (mkdir(worker->repository, 0700) && errno != EEXIST) {
        return error_set_errno(error, errno, "cannot make the directory %s", worker->repository);
    }
    worker_find_programs(programs);
    const char *const read_only[] = {SANITIZER_FILES, worker->pack, NULL};
    const char *const read_write[] = {worker->repository, worker->memory, NULL};
    AUTO_FREE const char **execute = generators_executables(
        json_array(worker->request, "generators"), (const char *const *)programs);
    const struct sandbox_options options = {
        .read_only = read_only, .read_write = read_write, .execute = execute};
    enum sandbox_strength strength;
    bool ok = sandbox_enter(&options, &strength, error);
    /* In there it cannot parse certificates that nobody here needs, for 3 ms. */
    odb_library_open();
    for (size_t i = 0; i < WORKER_PROGRAMS_MAXIMUM; i++) {
        free(programs[i]);
    }
    return ok;
}

int worker_main(void)
{
    AUTO_WORKER struct worker worker = {0};
    AUTO_BUF struct buf request;
    struct error error = {0};
    buf_init(&request, WORKER_REQUEST_MAXIMUM);
    bool ok = buf_read_fd(&request, STDIN_FILENO, "standard input", &error);
    if (ok && worker_read_request(&worker, request.data, request.size, &error)) {
        worker_open_memory(&worker); /* the sandbox names it, so it must be there */
        ok = worker_enter_sandbox(&worker, &error) && worker_answer(&worker, stdout, &error);
    } else if (ok) {
        struct error why = error;
        ok = worker_refuse(stdout, "invalid-request", &why, &error);
    }
    if (ok && fflush(stdout)) {
        ok = error_set_errno(&error, errno, "cannot write the answer");
    }
    if (!ok) {
        fprintf(stderr, "%s\n", error.message);
    }
    return ok ? 0 : 1;
}
