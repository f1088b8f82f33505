/* gitmoor-fetcher: fetches Git repositories and serves their commits to the differ. */
#include "common/base/text.h"
#include "fetcher/fetcher.h"
#include "fetcher/worker.h"

static void drain(void *fetcher)
{
    fetcher_drain(fetcher);
}

int main(int argc, char **argv)
{
    if (argc == 2 && text_equal(argv[1], "worker")) {
        return fetch_worker_main();
    }
    struct fetcher_settings settings = {0};
    struct process *process = NULL;
    struct fetcher fetcher = {0};
    struct error error;
    bool ok = settings_parse(fetcher_settings_table, "gitmoor-fetcher",
                             "Fetches Git repositories and serves their commits to the differ.",
                             &argc, &argv, &settings, &error);
    if (ok && argc > 0) {
        ok = error_set(&error, ERROR_INVALID, "unexpected argument \"%s\"", argv[0]);
    }
    ok = ok && process_open("fetcher", &settings.common, &process, &error) &&
         fetcher_open(&fetcher, process, &settings, &error);
    int status = ok ? process_run(process, drain, &fetcher) : process_fail("fetcher", &error);
    fetcher_close(&fetcher);
    if (process) {
        process_free(process);
    }
    return status;
}
