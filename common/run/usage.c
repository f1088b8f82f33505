#include "common/run/usage.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/run/metrics.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Names and meanings: prometheus.io/docs/instrumenting/writing_clientlibs, "Process metrics". */
static struct metric cpu_seconds = {.name = "process_cpu_seconds_total",
                                    .help = "User and system CPU time spent.",
                                    .type = METRIC_COUNTER};
static struct metric resident_bytes = {
    .name = "process_resident_memory_bytes", .help = "Resident memory.", .type = METRIC_GAUGE};
static struct metric virtual_bytes = {
    .name = "process_virtual_memory_bytes", .help = "Virtual memory.", .type = METRIC_GAUGE};
static struct metric start_seconds = {.name = "process_start_time_seconds",
                                      .help = "When the process started, since the epoch.",
                                      .type = METRIC_GAUGE};
static struct metric open_files = {
    .name = "process_open_fds", .help = "Open file descriptors.", .type = METRIC_GAUGE};
static struct metric build_info = {.name = "gitmoor_build_info",
                                   .help = "Version of Gitmoor; always 1.",
                                   .type = METRIC_GAUGE,
                                   .label = "version"};

/* Field `number` (as proc(5) counts, from 1) of /proc/self/stat; only those after the name. */
static double stat_field(const char *stat, int number)
{
    const char *rest = strrchr(stat, ')');
    double value = 0;
    for (int field = 2; rest && field < number; field++) {
        rest = strchr(rest + 1, ' ');
    }
    return rest && sscanf(rest, " %lf", &value) == 1 ? value : 0;
}

/* "btime N": when the machine started, since the epoch. */
static double boot_seconds(void)
{
    AUTO_BUF struct buf text;
    buf_init(&text, (size_t)1 << 20);
    double value = 0;
    if (buf_read_file(&text, "/proc/stat", NULL)) {
        const char *line = strstr(text.data, "\nbtime ");
        if (line) {
            value = strtod(line + sizeof "\nbtime", NULL);
        }
    }
    return value;
}

static double count_open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory) {
        return 0;
    }
    double count = -1; /* the directory itself */
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        count += entry->d_name[0] != '.';
    }
    closedir(directory);
    return count;
}

static void collect(void *context)
{
    (void)context;
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        metric_set(&cpu_seconds, NULL,
                   (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    }
    AUTO_BUF struct buf stat;
    buf_init(&stat, 4096);
    if (buf_read_file(&stat, "/proc/self/stat", NULL)) {
        metric_set(&virtual_bytes, NULL, stat_field(stat.data, 23));
        metric_set(&resident_bytes, NULL,
                   stat_field(stat.data, 24) * (double)sysconf(_SC_PAGESIZE));
        metric_set(&start_seconds, NULL,
                   boot_seconds() + stat_field(stat.data, 22) / (double)sysconf(_SC_CLK_TCK));
    }
    metric_set(&open_files, NULL, count_open_files());
}

void usage_register(void)
{
    if (build_info.next) {
        return;
    }
    metric_set(&build_info, GITMOOR_VERSION, 1);
    metrics_on_collect(collect, NULL);
}
