/* Metrics in Prometheus' text exposition format 0.0.4. A metric is a static variable of the file
 * that counts it, registered on first use; names are gitmoor_* with units in them. */
#ifndef GITMOOR_RUN_METRICS_H
#define GITMOOR_RUN_METRICS_H

#include "common/base/buf.h"

#include <stdint.h>

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_series;

struct metric {
    const char *name;
    const char *help;
    enum metric_type type;
    const char *label;            /* name of its label, or NULL */
    const char *second_label;     /* of a second one: use metric_set_two; or NULL */
    const double *bounds;         /* histogram: ascending upper bounds, ended by 0 */
    struct metric_series *series; /* internal */
    struct metric *next;          /* internal */
};

/* `label` is the label's value, NULL where the metric has none. */
void metric_add(struct metric *metric, const char *label, double amount);
void metric_set(struct metric *metric, const char *label, double value);
/* Of a metric with two labels. The values hold no character 0x1f. */
void metric_set_two(struct metric *metric, const char *label, const char *second, double value);
void metric_observe(struct metric *metric, const char *label, double value);
void metric_clear(struct metric *metric); /* all of them */

/* Called before each exposition, for values that are read rather than counted. */
void metrics_on_collect(void (*collect)(void *context), void *context);

void metrics_write(struct buf *out);

#endif
