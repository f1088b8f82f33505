#include "common/run/manual.h"

#include <ctype.h>
#include <stdbool.h>

/* In running text, at the beginning of a line or not. */
static void put_character(FILE *out, char c, bool begins)
{
    switch (c) {
    case '\\':
        fputs("\\e", out);
        break;
    case '-': /* not a hyphen: options are copied */
        fputs("\\-", out);
        break;
    case '\'':
        fputs("\\(aq", out);
        break;
    case '"': /* which ends an argument of a macro */
        fputs("\\(dq", out);
        break;
    case '`':
        fputs("\\(ga", out);
        break;
    case '^':
        fputs("\\(ha", out);
        break;
    case '~':
        fputs("\\(ti", out);
        break;
    case '.':
        fputs(begins ? "\\&." : ".", out);
        break;
    default:
        fputc(c, out);
    }
}

static void put_text(FILE *out, const char *text)
{
    for (bool begins = true; *text; text++) {
        put_character(out, *text, begins);
        begins = *text == '\n';
    }
}

static void put_macro(FILE *out, const char *macro, const char *text)
{
    fprintf(out, ".%s \"", macro);
    put_text(out, text);
    fputs("\"\n", out);
}

void manual_begin(FILE *out, const char *name, int section, const char *summary)
{
    fputs(".\\\" Written by the program itself, of the tables behind its --help.\n.TH \"", out);
    for (const char *c = name; *c; c++) {
        put_character(out, (char)toupper((unsigned char)*c), false);
    }
    fprintf(out, "\" %d \"\" \"Gitmoor " GITMOOR_VERSION "\" \"Gitmoor\"\n.ad l\n", section);
    manual_heading(out, "NAME");
    put_text(out, name);
    fputs(" \\- ", out);
    put_text(out, summary);
    fputc('\n', out);
}

void manual_heading(FILE *out, const char *title)
{
    put_macro(out, "SH", title);
}

void manual_subheading(FILE *out, const char *title)
{
    put_macro(out, "SS", title);
}

void manual_paragraph(FILE *out, const char *text)
{
    fputs(".PP\n", out);
    put_text(out, text);
    fputc('\n', out);
}

void manual_synopsis(FILE *out, const char *command)
{
    fputs(".PP\n", out);
    put_macro(out, "B", command);
}

void manual_item(FILE *out, const char *term, const char *text)
{
    fputs(".TP\n", out);
    put_macro(out, "B", term);
    put_text(out, text);
    fputc('\n', out);
}

void manual_reference(FILE *out, const char *name, int section)
{
    fputs(".BR \"", out);
    put_text(out, name);
    fprintf(out, "\" (%d)\n", section);
}
