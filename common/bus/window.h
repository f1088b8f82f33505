/* A sliding window over numbers that a sender counts upwards: which of the last WINDOW_SIZE were
 * seen. Used for sequences (replay) and for hint ids (duplicates). Look and mark are O(1), save
 * for clearing what the window slides over. */
#ifndef GITMOOR_BUS_WINDOW_H
#define GITMOOR_BUS_WINDOW_H

#include <stdint.h>

/* Twice what a sender may have on the wire (OUTBOX_WIRE_COUNT), with room for what it sends to
 * others meanwhile: its sequence counts every message. 1 KiB per window. */
#define WINDOW_SIZE 8192u

struct window {
    uint64_t bits[WINDOW_SIZE / 64];
    uint64_t top; /* the highest number marked */
};

enum window_place { WINDOW_NEW, WINDOW_SEEN, WINDOW_TOO_OLD };

void bus_window_clear(struct window *window);
enum window_place bus_window_look(const struct window *window, uint64_t number);
void bus_window_mark(struct window *window, uint64_t number);

#endif
