/* Base64 as Secrets and caBundle hold PEM text. */
#ifndef GITMOOR_ADMISSION_BASE64_H
#define GITMOOR_ADMISSION_BASE64_H

/* To be freed by the caller. */
char *base64_encode(const char *text);
/* NULL if it is NULL or malformed, or holds a NUL: only text is wanted here. */
char *base64_decode(const char *text);

#endif
