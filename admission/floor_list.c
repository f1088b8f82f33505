#include "admission/floor_list.h"

#include "admission/conditions.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

#define EXPRESSION_MAXIMUM ((size_t)98304) /* CEL's parser takes 100,000 characters */
#define LABELS_IN_ONE 1000                 /* in one expression, for that limit */

#define SINCE_NAME "since"
#define SINCE_BEGINNING "timestamp('"
/* All entries have a time, for the server gives it; without one it is enforced, as by verdict.c. */
#define APPLIED_EARLIER                                                                            \
    "size(variables.before) > 0 && variables.before.all(e, has(e.time) && timestamp(e.time) < "    \
    "variables." SINCE_NAME ")"

char *floor_list(const struct application_set *applications)
{
    AUTO_BUF struct buf lines;
    buf_init(&lines, SIZE_MAX / 4);
    size_t count = applications->by_label.count;
    AUTO_FREE const char **labels = map_sorted_keys(&applications->by_label);
    for (size_t i = 0; i < count; i++) {
        const struct application *application = map_get(&applications->by_label, labels[i]);
        bool enforced = application->protection == PROTECTION_ENFORCE;
        buf_append_format(&lines, "%c%s\n", enforced ? '+' : '-', application->label);
    }
    return buf_detach(&lines);
}

size_t floor_list_count(const char *list)
{
    size_t count = 0;
    for (const char *at = list; (at = strchr(at, '\n')); at++) {
        count++;
    }
    return count;
}

void floor_list_append(cJSON *array, const char *name, const char *expression)
{
    cJSON *node = json_append(array, json_new_object());
    json_add_string(node, "name", name);
    json_add_string(node, "expression", expression);
}

/* Appends "['…', '…']" of the next labels with this mark, and moves on. False: there are none. */
static bool append_labels(struct buf *out, const char **list, char mark)
{
    unsigned count = 0;
    const char *at = *list;
    while (*at && count < LABELS_IN_ONE) {
        size_t size = strcspn(at, "\n");
        if (*at == mark) {
            AUTO_FREE char *label = mem_string_n(at + 1, size - 1);
            buf_append_string(out, count++ > 0 ? ", " : "[");
            condition_append_quoted(out, label);
        }
        at += size + 1;
    }
    *list = at;
    buf_append_string(out, count > 0 ? "]" : "");
    return count > 0;
}

void floor_list_add_conditions(cJSON *conditions, const char *list, const char *label)
{
    for (unsigned number = 0;; number++) {
        AUTO_BUF struct buf text;
        buf_init(&text, EXPRESSION_MAXIMUM);
        buf_append_format(&text, "!(%s in ", label);
        if (!append_labels(&text, &list, '-')) {
            return;
        }
        buf_append_char(&text, ')');
        AUTO_FREE char *name = mem_format("enforced-%u", number);
        floor_list_append(conditions, name, text.data);
    }
}

void floor_list_add_variables(cJSON *variables, const char *list, int64_t since)
{
    AUTO_BUF struct buf orphaned;
    buf_init(&orphaned, EXPRESSION_MAXIMUM);
    buf_append_string(&orphaned, APPLIED_EARLIER " && variables.label != ''");
    for (unsigned number = 0;; number++) {
        AUTO_BUF struct buf text;
        buf_init(&text, EXPRESSION_MAXIMUM);
        buf_append_string(&text, "variables.label in ");
        if (!append_labels(&text, &list, '+')) {
            break;
        }
        AUTO_FREE char *name = mem_format("listed%u", number);
        floor_list_append(variables, name, text.data);
        buf_append_format(&orphaned, " && !variables.%s", name);
    }
    char time[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(since, time);
    AUTO_FREE char *expression = mem_format(SINCE_BEGINNING "%s')", time);
    floor_list_append(variables, SINCE_NAME, expression);
    floor_list_append(variables, "orphaned", orphaned.data);
}

int64_t floor_list_since(const cJSON *variables)
{
    for (const cJSON *variable = json_first(variables); variable; variable = variable->next) {
        const char *expression = json_string(variable, "expression");
        if (text_equal(json_string(variable, "name"), SINCE_NAME) &&
            text_has_prefix(expression, SINCE_BEGINNING)) {
            AUTO_FREE char *time = mem_string_n(expression + strlen(SINCE_BEGINNING),
                                                strcspn(expression + strlen(SINCE_BEGINNING), "'"));
            int64_t since;
            return clock_parse_rfc3339(time, &since) ? since : 0;
        }
    }
    return 0;
}
