#include "admission/report.h"

#include "admission/message.h"

#define BODY_MAXIMUM (BUS_HINT_MAXIMUM - 4096)

static void add_fields(cJSON *body, const struct paths *fields, struct arena *arena)
{
    cJSON *array = json_add_array(body, "fields");
    for (size_t i = 0; i < fields->count && i < MESSAGE_FIELDS_NAMED; i++) {
        json_append(array, json_new_string(message_path(fields->items[i], arena)));
    }
}

cJSON *report_body(const struct review *review)
{
    const struct verdict *verdict = &review->verdict;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    cJSON *body = json_new_object();
    json_add_string(body, "application", verdict->label);
    json_add_string(body, "object", verdict->key);
    json_add_string(body, "operation", operation_name(review->request.operation));
    json_add_string(body, "user", message_path(review->request.user, &arena));
    add_fields(body, &verdict->fields, &arena);
    json_add_string(body, "reason",
                    verdict->reason ? message_path(verdict->reason, &arena)
                                    : verdict_rule_name(verdict->rule));
    json_add_bool(body, "dryRun", review->request.dry_run);
    return body;
}

bool report_send(const struct bus *bus, struct bus_peer *differ, const struct review *review)
{
    const char *kind;
    switch (review->verdict.outcome) {
    case VERDICT_REFUSE:
        kind = "refused";
        break;
    case VERDICT_WARN:
    case VERDICT_BREAK_GLASS:
        kind = "bypassed";
        break;
    case VERDICT_ALLOW:
    default:
        return true;
    }
    if (bus_link_state(bus, BUS_ADMISSION_DIFFER).waiting >= REPORTS_WAITING_MAXIMUM) {
        return false;
    }
    AUTO_JSON cJSON *body = report_body(review);
    AUTO_BUF struct buf text;
    buf_init(&text, BODY_MAXIMUM);
    return json_write(body, &text) && bus_send(differ, kind, text.data, text.size, NULL) != 0;
}
