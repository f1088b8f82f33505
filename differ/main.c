#include "common/base/text.h"
#include "differ/application.h"
#include "differ/differ.h"
#include "differ/worker.h"

static void drain(void *context)
{
    struct differ *differ = context;
    members_leave(differ->members);
    bus_drain(differ->bus, 2000);
}

int main(int argc, char **argv)
{
    if (argc == 2 && text_equal(argv[1], "worker")) {
        return worker_main();
    }
    struct differ_settings settings = {0};
    struct process *process;
    struct differ differ;
    struct error error;
    if (!settings_parse(differ_settings_table, "gitmoor-differ",
                        "Renders Git, watches the cluster, plans what differs.", &argc, &argv,
                        &settings, &error) ||
        !process_open("differ", &settings.common, &process, &error) ||
        !differ_open(&differ, process, &settings, &error)) {
        return process_fail("differ", &error);
    }
    int status = process_run(process, drain, &differ);
    differ_close(&differ);
    process_free(process);
    return status;
}
