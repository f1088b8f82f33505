#include "common/run/metrics.h"

#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BUCKETS_MAXIMUM 32
#define COLLECTORS_MAXIMUM 16
#define VALUES_SEPARATOR '\x1f' /* between the values of two labels, in the key of a series */

struct series {
    double value;     /* counter, gauge; a histogram's sum */
    uint64_t count;   /* a histogram's observations */
    uint64_t *within; /* a histogram: how many fell into each bucket, not cumulative */
};

/* All series of one metric, by the value of its label ("" where it has none), or the values of
 * two. */
struct metric_series {
    struct map by_label;
};

/* File-scope state: what is counted is the process's. The list ends in `list_end`, so that a
 * metric with `next` NULL is one that is not registered. */
static struct metric list_end;
static struct metric *registered = &list_end;

static struct collector {
    void (*collect)(void *context);
    void *context;
} collectors[COLLECTORS_MAXIMUM];
static unsigned collector_count;

static unsigned bound_count(const struct metric *metric)
{
    unsigned count = 0;
    while (metric->bounds && metric->bounds[count] != 0 && count < BUCKETS_MAXIMUM) {
        count++;
    }
    return count;
}

static void series_free(void *value)
{
    struct series *series = value;
    free(series->within);
    free(series);
}

static struct series *series_of(struct metric *metric, const char *label)
{
    if (!metric->next) {
        metric->series = NEW(struct metric_series);
        metric->next = registered;
        registered = metric;
    }
    const char *key = metric->label ? text_or_empty(label) : "";
    struct series *series = map_get(&metric->series->by_label, key);
    if (!series) {
        series = NEW(struct series);
        if (metric->type == METRIC_HISTOGRAM) {
            series->within = mem_new(bound_count(metric), sizeof *series->within);
        }
        map_set(&metric->series->by_label, key, series);
    }
    return series;
}

void metric_add(struct metric *metric, const char *label, double amount)
{
    series_of(metric, label)->value += amount;
}

void metric_set(struct metric *metric, const char *label, double value)
{
    series_of(metric, label)->value = value;
}

void metric_set_two(struct metric *metric, const char *label, const char *second, double value)
{
    AUTO_FREE char *both = mem_format("%s%c%s", label, VALUES_SEPARATOR, second);
    metric_set(metric, both, value);
}

void metric_observe(struct metric *metric, const char *label, double value)
{
    struct series *series = series_of(metric, label);
    series->value += value;
    series->count++;
    unsigned bounds = bound_count(metric);
    for (unsigned i = 0; i < bounds; i++) {
        if (value <= metric->bounds[i]) {
            series->within[i]++;
            return;
        }
    }
}

void metric_clear(struct metric *metric)
{
    if (metric->next) {
        map_release(&metric->series->by_label, series_free);
        map_init(&metric->series->by_label);
    }
}

void metrics_on_collect(void (*collect)(void *context), void *context)
{
    if (collector_count < COLLECTORS_MAXIMUM) {
        collectors[collector_count++] = (struct collector){collect, context};
    }
}

static void append_number(struct buf *out, double value)
{
    if (isnan(value)) {
        buf_append_string(out, "NaN");
    } else if (isinf(value)) {
        buf_append_string(out, value > 0 ? "+Inf" : "-Inf");
    } else {
        char text[32];
        snprintf(text, sizeof text, "%.15g", value);
        if (strtod(text, NULL) != value) {
            snprintf(text, sizeof text, "%.17g", value);
        }
        buf_append_string(out, text);
    }
}

/* The first `size` bytes of a label's value. */
static void append_value(struct buf *out, const char *name, const char *value, size_t size)
{
    buf_append_format(out, "%s=\"", name);
    for (size_t i = 0; i < size; i++) {
        if (value[i] == '\n') {
            buf_append_string(out, "\\n");
            continue;
        }
        if (value[i] == '"' || value[i] == '\\') {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, value[i]);
    }
    buf_append_char(out, '"');
}

/* `{label="value",le="bound"}`, as much of it as there is. */
static void append_labels(struct buf *out, const struct metric *metric, const char *value,
                          const char *bound)
{
    if (!metric->label && !bound) {
        return;
    }
    buf_append_char(out, '{');
    if (metric->label) {
        size_t size = strlen(value), first = size;
        if (metric->second_label) {
            first = strcspn(value, (char[]){VALUES_SEPARATOR, '\0'});
        }
        append_value(out, metric->label, value, first);
        if (first < size) {
            buf_append_char(out, ',');
            append_value(out, metric->second_label, value + first + 1, size - first - 1);
        }
    }
    if (bound) {
        buf_append_format(out, "%sle=\"%s\"", metric->label ? "," : "", bound);
    }
    buf_append_char(out, '}');
}

static void append_sample(struct buf *out, const struct metric *metric, const char *suffix,
                          const char *label, const char *bound, double value)
{
    buf_append_string(out, metric->name);
    buf_append_string(out, suffix);
    append_labels(out, metric, label, bound);
    buf_append_char(out, ' ');
    append_number(out, value);
    buf_append_char(out, '\n');
}

static void append_histogram(struct buf *out, const struct metric *metric, const char *label,
                             const struct series *series)
{
    uint64_t up_to = 0;
    unsigned bounds = bound_count(metric);
    for (unsigned i = 0; i < bounds; i++) {
        char bound[32];
        snprintf(bound, sizeof bound, "%.15g", metric->bounds[i]);
        up_to += series->within[i];
        append_sample(out, metric, "_bucket", label, bound, (double)up_to);
    }
    append_sample(out, metric, "_bucket", label, "+Inf", (double)series->count);
    append_sample(out, metric, "_sum", label, NULL, series->value);
    append_sample(out, metric, "_count", label, NULL, (double)series->count);
}

static void append_metric(struct buf *out, const struct metric *metric)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    buf_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
                      types[metric->type]);
    const struct map *all = &metric->series->by_label;
    AUTO_FREE const char **labels = map_sorted_keys(all);
    for (size_t i = 0; i < all->count; i++) {
        const struct series *series = map_get(all, labels[i]);
        if (metric->type == METRIC_HISTOGRAM) {
            append_histogram(out, metric, labels[i], series);
        } else {
            append_sample(out, metric, "", labels[i], NULL, series->value);
        }
    }
}

static int compare_names(const void *left, const void *right)
{
    const struct metric *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

void metrics_write(struct buf *out)
{
    for (unsigned i = 0; i < collector_count; i++) {
        collectors[i].collect(collectors[i].context);
    }
    size_t count = 0;
    for (const struct metric *metric = registered; metric != &list_end; metric = metric->next) {
        count++;
    }
    AUTO_FREE const struct metric **sorted = mem_new(count, sizeof *sorted);
    count = 0;
    for (const struct metric *metric = registered; metric != &list_end; metric = metric->next) {
        sorted[count++] = metric;
    }
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 0; i < count; i++) {
        append_metric(out, sorted[i]);
    }
}
