/* Any bytes as an AdmissionReview: it is judged or refused, and the answer can be read back. */
#include "admission/review.h"
#include "admission/unjudged.h"
#include "common/data/json.h"

#include <stdint.h>
#include <stdlib.h>

static struct application *known(void)
{
    static const char text[] =
        "{\"apiVersion\":\"gitmoor.io/v1alpha1\",\"kind\":\"Application\",\"metadata\":{\"name\":"
        "\"shop\",\"namespace\":\"prod\"},\"spec\":{\"source\":{\"repository\":\"shop\",\"path\":"
        "\"deploy\"}},\"status\":{\"lastAppliedRevision\":\"main@sha1:1\",\"namespaces\":"
        "[\"prod\"]}}";
    AUTO_JSON cJSON *tree = NULL;
    struct application *application = NULL;
    if (!json_parse(text, sizeof text - 1, NULL, &tree, NULL) ||
        !application_from_json(tree, &application, NULL)) {
        abort();
    }
    return application;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct verdict_settings settings = {.applier = "applier",
                                                     .controllers = verdict_default_controllers};
    struct application_set applications;
    application_set_init(&applications);
    application_set_put(&applications, known());
    const char *bytes = (const char *)data;
    AUTO_BUF struct buf text;
    buf_init(&text, REVIEW_MAXIMUM);
    struct review review;
    bool answered = true;
    if (review_judge(bytes, size, &settings, &applications, &review, NULL)) {
        AUTO_JSON cJSON *answer = review_answer(&review);
        answered = json_write(answer, &text);
        review_release(&review);
    } else if (!unjudged_answer(bytes, size, "why", &text)) {
        buf_append_string(&text, "{}");
    }
    AUTO_JSON cJSON *again = NULL;
    if (!answered || !json_parse(text.data, text.size, NULL, &again, NULL)) {
        abort();
    }
    application_set_release(&applications);
    return 0;
}
