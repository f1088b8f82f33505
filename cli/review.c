/* `gitmoor review`: the verdict that gitmoor-admission gives on an AdmissionReview, by the same
 * code, without a cluster. Status 0 if there is a verdict, allowed or refused; 1 if the input is
 * none that can be judged; 2 if it cannot be read. */
#include "admission/review.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define APPLICATION_FILE_MAXIMUM ((size_t)16 << 20)

struct review_options {
    const char *applier;
    const char *application;
    const char *file;
};

static bool read_input(const char *path, struct buf *out, struct error *error)
{
    if (strcmp(path, "-") == 0) {
        return buf_read_fd(out, STDIN_FILENO, "standard input", error);
    }
    return buf_read_file(out, path, error);
}

static bool add_application(const cJSON *object, struct application_set *set, struct error *error)
{
    struct application *application = NULL;
    if (!application_from_json(object, &application, error)) {
        return false;
    }
    application_set_put(set, application);
    return true;
}

/* A List, as `kubectl get applications -A -o yaml` writes it, is of all there are. */
static bool add_list(const cJSON *list, struct application_set *set, struct error *error)
{
    for (const cJSON *item = json_first(json_array(list, "items")); item; item = item->next) {
        if (!add_application(item, set, error)) {
            return false;
        }
    }
    set->complete = true;
    return true;
}

static bool add_document(cJSON *tree, unsigned line, void *context, struct error *error)
{
    AUTO_JSON cJSON *owned = tree;
    bool is_list = text_equal(json_string(owned, "kind"), "List");
    return (is_list ? add_list(owned, context, error) : add_application(owned, context, error)) ||
           error_prefix(error, "line %u", line);
}

static bool add_applications(const char *path, const struct buf *text, struct application_set *set,
                             struct error *error)
{
    if (!yaml_parse(text->data, text->size, path, NULL, add_document, set, error)) {
        return error_prefix(error, "--application %s", path);
    }
    if (set->by_label.count == 0 && !set->complete) {
        return error_set(error, ERROR_INVALID, "--application %s: the file holds no Application",
                         path);
    }
    return true;
}

static bool print_answer(const struct review *review, struct error *error)
{
    AUTO_JSON cJSON *answer = review_answer(review);
    AUTO_BUF struct buf text;
    buf_init(&text, REVIEW_MAXIMUM);
    json_write_pretty(answer, &text);
    if (fwrite(text.data, 1, text.size, stdout) != text.size || putchar('\n') == EOF ||
        fflush(stdout) != 0) {
        return error_set(error, ERROR_SYSTEM, "cannot write the answer to standard output");
    }
    return true;
}

struct document {
    const char *name; /* of the file */
    cJSON *tree;
};

static bool take_one(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct document *document = context;
    if (document->tree) {
        json_free(tree);
        return error_set(error, ERROR_INVALID, "%s:%u: one AdmissionReview is wanted",
                         document->name, line);
    }
    document->tree = tree;
    return true;
}

/* JSON is judged as it stands, as the webhook does; anything else is read as YAML first. */
static bool rewrite_yaml(const char *name, struct buf *text, struct error *error)
{
    if (text->data[strspn(text->data, " \t\r\n")] == '{') {
        return true;
    }
    struct document document = {.name = name};
    bool read = yaml_parse(text->data, text->size, name, NULL, take_one, &document, error);
    AUTO_JSON cJSON *tree = document.tree;
    if (!read) {
        return false;
    }
    if (!cJSON_IsObject(tree)) {
        return error_set(error, ERROR_INVALID, "%s: an AdmissionReview is wanted, and this is %s",
                         name, tree ? "no object" : "empty");
    }
    buf_clear(text);
    if (!json_write(tree, text)) {
        return error_set(error, ERROR_INVALID, "%s: the review is larger than %zu bytes", name,
                         (size_t)REVIEW_MAXIMUM);
    }
    return true;
}

static bool judge(const struct review_options *options, struct buf *text,
                  const struct application_set *applications, struct review *ret,
                  struct error *error)
{
    const struct verdict_settings rules = {.applier = options->applier,
                                           .controllers = verdict_default_controllers};
    const char *name = strcmp(options->file, "-") == 0 ? "standard input" : options->file;
    if (!rewrite_yaml(name, text, error)) {
        return false;
    }
    return review_judge(text->data, text->size, &rules, applications, ret, error) ||
           error_prefix(error, "%s", name);
}

static int run(const struct review_options *options, struct application_set *applications,
               struct error *error)
{
    AUTO_BUF struct buf text, application;
    buf_init(&text, REVIEW_MAXIMUM);
    buf_init(&application, APPLICATION_FILE_MAXIMUM);
    if ((options->application && !read_input(options->application, &application, error)) ||
        !read_input(options->file, &text, error)) {
        return CLI_USAGE;
    }
    struct review review;
    if ((options->application &&
         !add_applications(options->application, &application, applications, error)) ||
        !judge(options, &text, applications, &review, error)) {
        return CLI_NO;
    }
    bool printed = print_answer(&review, error);
    review_release(&review);
    return printed ? CLI_OK : CLI_USAGE;
}

static int review_run(const struct option_set *set, const struct review_options *options)
{
    struct error error = {0};
    if (!options->applier || !options->file) {
        error_set(&error, ERROR_INVALID, "--%s is missing; usage: gitmoor %s",
                  options->applier ? "file" : "applier", set->usage);
        return cli_fail("review", CLI_USAGE, &error);
    }
    struct application_set applications;
    application_set_init(&applications);
    int status = run(options, &applications, &error);
    application_set_release(&applications);
    return status == CLI_OK ? CLI_OK : cli_fail("review", status, &error);
}

int cli_review(int argc, char **argv)
{
    struct review_options options = {0};
    const struct option table[] = {
        {"applier", 0, OPTION_TEXT, &options.applier, "USER",
         "User name of the applier, whose requests pass."},
        {"application", 0, OPTION_TEXT, &options.application, "FILE",
         "The Application as the cluster holds it, or a List of all there are, YAML or JSON; an "
         "application that is not known is enforced."},
        {"file", 'f', OPTION_TEXT, &options.file, "FILE",
         "The AdmissionReview, JSON or YAML; - is standard input."},
        {0},
    };
    const struct option_set set = {
        "review --applier USER -f FILE [--application FILE]",
        "Prints the verdict of the webhook on an AdmissionReview, as an AdmissionReview.",
        "0: there is a verdict, allowed or refused; 1: the input is none that can be judged; 2: "
        "it\n"
        "cannot be read.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    int status;
    return options_start(&set, argc, argv, 0, 0, &operands, &status) ? review_run(&set, &options)
                                                                     : status;
}
