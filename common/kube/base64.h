/* Internal to common/kube: base64 as kubeconfig files hold it. */
#ifndef GITMOOR_KUBE_BASE64_H
#define GITMOOR_KUBE_BASE64_H

/* Standard alphabet, padding required, white space ignored. NULL if it is malformed, or holds a
 * NUL: what is read with it is PEM text. To be freed by the caller. */
char *kube_base64_decode(const char *text);

#endif
