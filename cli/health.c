/* gitmoor health: the health of objects that stand in a file or come from standard input, such as
 * `kubectl get … -o json`, by the rules that the differ uses. */
#include "cli/cli.h"
#include "cli/options.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/health_rules.h"
#include "common/data/json.h"
#include "common/data/yaml.h"
#include "differ/render/json_stream.h"

#include <string.h>
#include <unistd.h>

#define HEALTH_INPUT_MAXIMUM ((size_t)256 << 20)
#define HEALTH_NODES_MAXIMUM 20000000

struct health_verb {
    bool as_json;
    bool unjudged; /* something was not an object with a kind */
    const struct health_rules *rules[2];
    struct buf out;
};

static void health_print(struct health_verb *verb, const cJSON *object)
{
    char message[HEALTH_MESSAGE_SIZE];
    enum health_status status = health_judge_by(verb->rules, 2, object, message);
    const char *kind = text_or_empty(json_string(object, "kind"));
    const char *namespace_ = text_or_empty(json_string_path(object, "metadata.namespace"));
    const char *name = text_or_empty(json_string_path(object, "metadata.name"));
    if (!verb->as_json) {
        buf_append_format(&verb->out, "%-12s  %s %s%s%s  %s\n", health_status_name(status), kind,
                          namespace_, *namespace_ ? "/" : "", name, message);
        return;
    }
    AUTO_JSON cJSON *line = json_new_object();
    json_add_string(line, "kind", kind);
    json_add_string(line, "namespace", namespace_);
    json_add_string(line, "name", name);
    json_add_string(line, "status", health_status_name(status));
    json_add_string(line, "message", message);
    json_write(line, &verb->out);
    buf_append_char(&verb->out, '\n');
}

static void health_take(struct health_verb *verb, const cJSON *tree)
{
    const char *kind = json_string(tree, "kind");
    const cJSON *items = json_array(tree, "items");
    if (text_has_suffix(kind, "List") && items) {
        for (const cJSON *item = json_first(items); item; item = item->next) {
            health_take(verb, item);
        }
        return;
    }
    if (cJSON_IsNull(tree)) {
        return;
    }
    verb->unjudged |= text_is_empty(kind);
    health_print(verb, tree);
}

static bool health_document(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct health_verb *verb = context;
    AUTO_JSON cJSON *owned = tree;
    (void)line;
    health_take(verb, owned);
    return verb->out.overflowed ? error_set(error, ERROR_LIMIT, "too many objects") : true;
}

static void health_value(cJSON *tree, unsigned line, void *context)
{
    AUTO_JSON cJSON *owned = tree;
    (void)line;
    health_take(context, owned);
}

/* JSON, one value or several, or a stream of YAML documents. */
static bool health_read(struct health_verb *verb, const char *text, size_t size, const char *name,
                        struct error *error)
{
    const struct json_limits json_limits = {HEALTH_INPUT_MAXIMUM, 100, HEALTH_NODES_MAXIMUM};
    const struct yaml_limits yaml_limits = {HEALTH_INPUT_MAXIMUM, 100, HEALTH_NODES_MAXIMUM};
    return json_stream_read(text, size, &json_limits, health_value, verb) ||
           yaml_parse(text, size, name, &yaml_limits, health_document, verb, error);
}

static bool read_rules(const char *file, struct health_rules **ret, struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, HEALTH_RULES_FILE_MAXIMUM);
    return buf_read_file(&text, file, error) &&
           health_rules_parse(text.data, text.size, file, ret, error);
}

static int health_run(const char *file, struct health_verb *verb)
{
    struct error error = {0};
    AUTO_BUF struct buf text;
    bool from_stdin = strcmp(file, "-") == 0;
    buf_init(&text, HEALTH_INPUT_MAXIMUM);
    if (from_stdin ? !buf_read_fd(&text, STDIN_FILENO, "standard input", &error)
                   : !buf_read_file(&text, file, &error)) {
        return cli_fail("health", CLI_USAGE, &error);
    }
    buf_init(&verb->out, HEALTH_INPUT_MAXIMUM);
    bool ok = health_read(verb, text.data, text.size, from_stdin ? "standard input" : file, &error);
    fwrite(verb->out.data, 1, verb->out.size, stdout);
    buf_release(&verb->out);
    if (!ok) {
        return cli_fail("health", CLI_NO, &error);
    }
    return verb->unjudged ? CLI_NO : CLI_OK;
}

struct health_request {
    const char *file, *rules;
    unsigned as_json;
    bool kstatus;
};

static bool check_request(const struct health_request *request, struct error *error)
{
    if (request->kstatus && request->rules) {
        return error_set(error, ERROR_INVALID, "--rules and --kstatus exclude each other");
    }
    return request->file || error_set(error, ERROR_INVALID,
                                      "nothing to judge; give -f FILE, or -f - for standard input");
}

static int health_with_rules(const struct health_request *request)
{
    struct error error;
    struct health_rules *own = NULL, *shipped = NULL;
    if (!check_request(request, &error) ||
        (request->rules && !read_rules(request->rules, &own, &error))) {
        return cli_fail("health", CLI_USAGE, &error);
    }
    if (!request->kstatus) {
        shipped = health_rules_shipped();
    }
    struct health_verb verb = {.as_json = request->as_json, .rules = {own, shipped}};
    int status = health_run(request->file, &verb);
    health_rules_free(own);
    health_rules_free(shipped);
    return status;
}

int cli_health(int argc, char **argv)
{
    struct health_request request = {0};
    const struct option table[] = {
        {"filename", 'f', OPTION_TEXT, &request.file, "FILE",
         "YAML or JSON to judge; - is standard input."},
        {"rules", 0, OPTION_TEXT, &request.rules, "FILE",
         "Health rules (kind HealthRules) that come before the shipped ones."},
        {"kstatus", 0, OPTION_FLAG, &request.kstatus, NULL,
         "By the rules of kstatus alone, without the shipped ones."},
        {"output", 'o', OPTION_CHOICE, &request.as_json, "text|json",
         "json: one line an object, with kind, namespace, name, status, message."},
        {0},
    };
    const struct option_set set = {
        "health -f FILE [OPTIONS]",
        "Judges live objects by the rules of kstatus and, for custom kinds, those that are\n"
        "shipped: Current, InProgress, Failed, Terminating or Unknown, one line each, in the\n"
        "order of the input. Lists are expanded.",
        "0: all were judged, whatever the verdict; 1: something is not an object, or the input\n"
        "is malformed; 2: the command line is wrong, or FILE or the rules cannot be read.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    int status;
    if (!options_start(&set, argc, argv, 0, 1, &operands, &status)) {
        return status;
    }
    request.file = request.file ? request.file : operands[0];
    return health_with_rules(&request);
}
