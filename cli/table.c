#include "cli/table.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

void table_init(struct table *table, size_t columns)
{
    *table = (struct table){.columns = columns};
}

void table_release(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    *table = (struct table){0};
}

void table_add(struct table *table, const char *text)
{
    table->cells = mem_resize(table->cells, table->count + 1, sizeof(*table->cells));
    char *cell = mem_string(text_is_empty(text) ? "<none>" : text);
    for (char *at = cell; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f) {
            *at = *at == '\n' ? ' ' : '?';
        }
    }
    table->cells[table->count++] = cell;
}

/* Characters, not bytes: continuation bytes of UTF-8 take no room of their own. */
static size_t table_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

void table_print(const struct table *table, FILE *out)
{
    AUTO_FREE size_t *widths = mem_new(table->columns, sizeof(*widths));
    for (size_t i = 0; i < table->count; i++) {
        size_t width = table_width(table->cells[i]);
        size_t *widest = &widths[i % table->columns];
        *widest = width > *widest ? width : *widest;
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        if (column + 1 == table->columns) {
            fprintf(out, "%s\n", table->cells[i]);
            continue;
        }
        size_t padding = widths[column] - table_width(table->cells[i]) + 3;
        fprintf(out, "%s%*s", table->cells[i], (int)padding, "");
    }
}

void table_age(const char *since, int64_t now_ms, char ret_text[TABLE_AGE_SIZE])
{
    int64_t then;
    if (!since || !clock_parse_rfc3339(since, &then)) {
        snprintf(ret_text, TABLE_AGE_SIZE, "<unknown>");
        return;
    }
    long long seconds = now_ms > then ? (long long)(now_ms - then) / 1000 : 0;
    if (seconds < 120) {
        snprintf(ret_text, TABLE_AGE_SIZE, "%llds", seconds);
    } else if (seconds < 3 * 3600) {
        snprintf(ret_text, TABLE_AGE_SIZE, "%lldm", seconds / 60);
    } else if (seconds < 48 * 3600) {
        snprintf(ret_text, TABLE_AGE_SIZE, "%lldh", seconds / 3600);
    } else {
        snprintf(ret_text, TABLE_AGE_SIZE, "%lldd", seconds / 86400 % 1000000);
    }
}

void table_print_text(const char *text, size_t indent, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\n') {
            fprintf(out, "\n%*s", (int)indent, "");
        } else {
            fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
        }
    }
}
