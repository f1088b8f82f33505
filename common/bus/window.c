#include "common/bus/window.h"

#include <string.h>

void bus_window_clear(struct window *window)
{
    memset(window, 0, sizeof *window);
}

enum window_place bus_window_look(const struct window *window, uint64_t number)
{
    if (number > window->top) {
        return WINDOW_NEW;
    }
    if (window->top - number >= WINDOW_SIZE) {
        return WINDOW_TOO_OLD;
    }
    uint64_t bit = number % WINDOW_SIZE;
    return window->bits[bit / 64] >> (bit % 64) & 1 ? WINDOW_SEEN : WINDOW_NEW;
}

void bus_window_mark(struct window *window, uint64_t number)
{
    if (number > window->top && number - window->top >= WINDOW_SIZE) {
        memset(window->bits, 0, sizeof window->bits);
        window->top = number;
    }
    while (window->top < number) {
        window->top++;
        uint64_t bit = window->top % WINDOW_SIZE;
        window->bits[bit / 64] &= ~((uint64_t)1 << bit % 64);
    }
    if (window->top - number < WINDOW_SIZE) {
        uint64_t bit = number % WINDOW_SIZE;
        window->bits[bit / 64] |= (uint64_t)1 << bit % 64;
    }
}
