#include "common/run/terminal.h"

#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>

#define WIDTH_DEFAULT 80
#define WIDTH_MINIMUM 40 /* narrower, and options would leave no room for what is said of them */
#define BLANKS " \n"

int terminal_width(FILE *out)
{
    struct winsize size;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
        return WIDTH_DEFAULT;
    }
    return size.ws_col < WIDTH_MINIMUM ? WIDTH_MINIMUM : size.ws_col;
}

/* Continuation bytes of UTF-8 take no room of their own. */
static int width_of(const char *text, size_t size)
{
    int width = 0;
    for (size_t i = 0; i < size; i++) {
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return width;
}

void terminal_print(FILE *out, const char *text, int column, int indent, int width)
{
    int at = column;
    bool is_first = true; /* of its line */
    for (text += strspn(text, BLANKS); *text; text += strspn(text, BLANKS)) {
        size_t size = strcspn(text, BLANKS);
        int word = width_of(text, size);
        if (!is_first && at + 1 + word > width) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
            is_first = true;
        }
        fprintf(out, "%s%.*s", is_first ? "" : " ", (int)size, text);
        at += word + !is_first;
        is_first = false;
        text += size;
    }
    fputc('\n', out);
}
