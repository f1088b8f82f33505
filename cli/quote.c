#include "cli/quote.h"

#include <string.h>

#define PLAIN                                                                                      \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"                               \
    "@%+=:,./_-"

void quote_shell(struct buf *out, const char *word)
{
    if (*word && word[strspn(word, PLAIN)] == '\0') {
        buf_append_string(out, word);
        return;
    }
    buf_append_char(out, '\'');
    for (const char *c = word; *c; c++) {
        if (*c == '\'') {
            buf_append_string(out, "'\\''");
        } else {
            buf_append_char(out, (unsigned char)*c < ' ' || *c == '\x7f' ? '?' : *c);
        }
    }
    buf_append_char(out, '\'');
}

void quote_option(struct buf *out, const char *name, const char *word)
{
    if (word) {
        buf_append_format(out, " --%s=", name);
        quote_shell(out, word);
    }
}
