/* Text tables as kubectl prints them, and the small texts that stand in them. */
#ifndef GITMOOR_CLI_TABLE_H
#define GITMOOR_CLI_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct table {
    size_t columns;
    char **cells; /* row by row; the first row is the head */
    size_t count;
};

void table_init(struct table *table, size_t columns);
void table_release(struct table *table);
#define AUTO_TABLE __attribute__((cleanup(table_release)))

/* Copies; NULL and "" become "<none>" below the head. Control characters become '?', so that no
 * object's text can steer the terminal. */
void table_add(struct table *table, const char *text);
void table_print(const struct table *table, FILE *out);

#define TABLE_AGE_SIZE 24
/* "45s", "12m", "5h", "3d" since the RFC 3339 time; "<unknown>" if it is none. */
void table_age(const char *since, int64_t now_ms, char ret_text[TABLE_AGE_SIZE]);

/* Prints a text that came from the cluster, with control characters replaced and every further
 * line indented by `indent` blanks. */
void table_print_text(const char *text, size_t indent, FILE *out);

#endif
