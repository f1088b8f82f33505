#include "common/run/trim.h"

#include "common/base/memory.h"

#include <event2/event.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* In processor time: work that is worth a trim, and what of a tick may be used at rest. */
#define WORK_US 20000
#define REST_PERCENT 1
/* For how long work without rest goes untrimmed. */
#define UNTRIMMED_TICKS_MAXIMUM 10

struct trim {
    struct event *tick;
    int64_t rest_us;         /* at most this much is used in a tick */
    int64_t used_us;         /* at the last tick */
    int64_t trimmed_used_us; /* at the last trim */
    unsigned untrimmed_ticks;
};

/* ---- What is given back ---- */

static bool has_relocated_text(const struct dl_phdr_info *object)
{
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_DYNAMIC) {
            continue;
        }
        for (const ElfW(Dyn) *entry = (const void *)(object->dlpi_addr + header->p_vaddr);
             entry->d_tag != DT_NULL; entry++) {
            if (entry->d_tag == DT_TEXTREL ||
                (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL))) {
                return true;
            }
        }
    }
    return false;
}

/* Segments that are never written: what is mapped is what the file says. Those that the loader has
 * relocated and then made read-only count as writable in the headers. */
static int give_back(struct dl_phdr_info *object, size_t size, void *context)
{
    (void)size;
    (void)context;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (has_relocated_text(object)) {
        return 0;
    }
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || (header->p_flags & PF_W)) {
            continue;
        }
        uintptr_t start = (object->dlpi_addr + header->p_vaddr) & ~(page - 1);
        uintptr_t end = object->dlpi_addr + header->p_vaddr + header->p_filesz;
        madvise((void *)start, end - start, MADV_DONTNEED); /* if not, then not: the vdso */
    }
    return 0;
}

void trim_now(void)
{
    malloc_trim(0);
    dl_iterate_phdr(give_back, NULL);
}

/* ---- When ---- */

static int64_t processor_us(void)
{
    struct timespec used = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct trim *trim = context;
    int64_t used_us = processor_us();
    bool rests = used_us - trim->used_us <= trim->rest_us;
    bool has_worked = used_us - trim->trimmed_used_us >= WORK_US;
    trim->untrimmed_ticks++;
    if (has_worked && (rests || trim->untrimmed_ticks >= UNTRIMMED_TICKS_MAXIMUM)) {
        trim_now();
        used_us = processor_us(); /* the trim is no work */
        trim->trimmed_used_us = used_us;
        trim->untrimmed_ticks = 0;
    }
    trim->used_us = used_us;
}

struct trim *trim_new(struct event_base *base, int64_t tick_ms)
{
    struct trim *trim = NEW(struct trim);
    trim->rest_us = tick_ms * 1000 * REST_PERCENT / 100;
    trim->used_us = processor_us();
    trim->tick = event_new(base, -1, EV_PERSIST, on_tick, trim);
    event_add(trim->tick,
              &(const struct timeval){.tv_sec = tick_ms / 1000, .tv_usec = tick_ms % 1000 * 1000});
    return trim;
}

void trim_free(struct trim *trim)
{
    if (trim) {
        event_free(trim->tick);
        free(trim);
    }
}
