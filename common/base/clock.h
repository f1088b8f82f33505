/* Time. Deadlines and durations use the monotonic clock; what others read uses the wall clock. */
#ifndef GITMOOR_BASE_CLOCK_H
#define GITMOOR_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
int64_t clock_wall_ms(void); /* since 1970, UTC */

/* How long to wait after `failures` in a row before this one: the first wait doubled each time, up
 * to the maximum. Pure. */
int64_t clock_backoff_ms(int64_t first_ms, unsigned failures, int64_t maximum_ms);

#define CLOCK_RFC3339_SIZE 32

/* "2026-11-24T05:59:19Z", Kubernetes' metav1.Time. */
void clock_format_rfc3339(int64_t wall_ms, char ret_text[CLOCK_RFC3339_SIZE]);
/* "2026-11-24T05:59:19.123000Z", Kubernetes' metav1.MicroTime. */
void clock_format_micro(int64_t wall_ms, char ret_text[CLOCK_RFC3339_SIZE]);
/* Both forms, with or without a fraction, with Z or an offset. */
bool clock_parse_rfc3339(const char *text, int64_t *ret_wall_ms);

#endif
