/* What to do about what the API server refuses, where its words do not say so. */
#ifndef GITMOOR_DIFFER_REMEDY_H
#define GITMOOR_DIFFER_REMEDY_H

/* Of a refusal: its HTTP status and message. A sentence to put behind the message, or "". */
const char *remedy_for(int status, const char *message);

#endif
