/* Health of live objects by the rules of kstatus (sigs.k8s.io/cli-utils/pkg/kstatus/status). */
#ifndef GITMOOR_DATA_HEALTH_H
#define GITMOOR_DATA_HEALTH_H

#include "common/data/json.h"

enum health_status {
    HEALTH_IN_PROGRESS,
    HEALTH_FAILED,
    HEALTH_CURRENT,
    HEALTH_TERMINATING,
    HEALTH_NOT_FOUND, /* the object is gone; never returned by health_judge */
    HEALTH_UNKNOWN    /* it cannot be told: no kind, malformed status */
};

#define HEALTH_MESSAGE_SIZE 512

/* Judges one object: its status and a message such as "Available: 1/3". Never fails: what cannot be
 * judged is HEALTH_UNKNOWN with the reason as the message. */
enum health_status health_judge(const cJSON *object, char ret_message[HEALTH_MESSAGE_SIZE]);

/* "InProgress", "Failed", "Current", "Terminating", "NotFound", "Unknown". */
const char *health_status_name(enum health_status status);

#endif
