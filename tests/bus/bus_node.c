/* A process with a bus and nothing else, for tests/e2e/test_bus.py: it does what lines on standard
 * input say and answers with JSON lines on standard output. Each hint it takes is written to a
 * ledger, by one write(2) before it is acknowledged, so that SIGKILL cannot take the entry back.
 *
 *   send PEER KIND FIRST COUNT [SIZE]   hints whose bodies are numbers, padded to SIZE bytes
 *   blob PEER SIZE SEED                 puts a blob and announces it; the peer fetches and checks
 * it ping PEER COUNT                     round trips, one after the other drain MS | stats | quit
 */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/bus/bus.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PEERS_MAXIMUM 16
#define FETCH_TIMEOUT_MS 20000

struct node {
    struct event_base *base;
    struct bus *bus;
    struct bus_peer *peers[PEERS_MAXIMUM];
    size_t peer_count;
    struct evbuffer *commands;
    int ledger;
    unsigned decline; /* each so manieth hint; 0: none */
    unsigned counted;
    int64_t drain_ms; /* -1: not asked for */
    bool quit;
    /* pings */
    struct bus_peer *pinged;
    unsigned pings, pings_wanted;
    int64_t ping_began_us;
    int64_t *ping_us;
};

struct expected {
    struct node *node;
    char sender[64];
    unsigned seed;
};

static void write_ledger(struct node *node, const char *sender, const char *kind, const char *what)
{
    AUTO_FREE char *line = mem_format("%s %s %s\n", sender, kind, what);
    if (node->ledger >= 0 && write(node->ledger, line, strlen(line)) < 0) {
        perror("ledger");
        _exit(1);
    }
}

/* ---- blobs ---- */

static char *make_blob(size_t size, unsigned seed)
{
    char *data = mem_new(size + 1, 1);
    uint64_t state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (size_t i = 0; i < size; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        data[i] = (char)(state >> 56);
    }
    return data;
}

static void on_blob(char *data, size_t size, const struct error *error, void *context)
{
    struct expected *expected = context;
    const char *kind = "blob-failed", *what = error ? error_code_name(error->code) : "Different";
    AUTO_FREE char *number = mem_format("%u", expected->seed);
    if (data) {
        AUTO_FREE char *right = make_blob(size, expected->seed);
        if (memcmp(right, data, size) == 0) {
            kind = "blob";
            what = number;
        }
    }
    write_ledger(expected->node, expected->sender, kind, what);
    free(data);
    free(expected);
}

static void fetch_blob(struct node *node, struct bus_peer *peer, const char *body)
{
    char hex[DIGEST_HEX_SIZE];
    size_t size;
    struct expected *expected = NEW(struct expected);
    struct digest digest;
    if (sscanf(body, "%64s %zu %u", hex, &size, &expected->seed) != 3 ||
        !digest_from_hex(hex, &digest)) {
        abort();
    }
    expected->node = node;
    snprintf(expected->sender, sizeof expected->sender, "%s", bus_peer_instance(peer));
    bus_blob_fetch(peer, &digest, size, FETCH_TIMEOUT_MS, on_blob, expected);
}

/* ---- pings ---- */

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void ping(struct node *node)
{
    struct error error;
    if (node->pings < node->pings_wanted) {
        node->ping_began_us = clock_monotonic_us();
        bus_send(node->pinged, "ping", "", 0, &error);
        return;
    }
    qsort(node->ping_us, node->pings, sizeof *node->ping_us, compare);
    printf("{\"answer\":\"ping\",\"p50_us\":%lld,\"p99_us\":%lld}\n",
           (long long)node->ping_us[node->pings / 2],
           (long long)node->ping_us[node->pings * 99 / 100]);
}

/* ---- handlers ---- */

static bool on_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                    void *context)
{
    struct node *node = context;
    struct error error;
    (void)size;
    if (node->decline > 0 && ++node->counted % node->decline == 0) {
        return false;
    }
    if (text_equal(kind, "ping")) {
        bus_send(peer, "pong", "", 0, &error);
    } else if (text_equal(kind, "pong")) {
        node->ping_us[node->pings++] = clock_monotonic_us() - node->ping_began_us;
        ping(node);
    } else if (text_equal(kind, "blob")) {
        fetch_blob(node, peer, body);
    } else {
        AUTO_FREE char *number = mem_string_n(body, strcspn(body, " "));
        write_ledger(node, bus_peer_instance(peer), kind, number);
    }
    return true;
}

static void on_peer_up(struct bus_peer *peer, void *context)
{
    (void)context;
    printf("{\"event\":\"up\",\"instance\":\"%s\"}\n", bus_peer_instance(peer));
}

/* ---- commands ---- */

static void send_numbers(struct bus_peer *peer, const char *kind, unsigned first, unsigned count,
                         size_t size)
{
    AUTO_FREE char *body = mem_new(size + 24, 1);
    unsigned refused = 0;
    for (unsigned i = first; i < first + count; i++) {
        int length = snprintf(body, 24, "%u", i);
        size_t used = size > (size_t)length ? size : (size_t)length;
        memset(body + length, ' ', used - (size_t)length);
        refused += bus_send(peer, kind, body, used, NULL) == 0;
    }
    printf("{\"answer\":\"send\",\"refused\":%u}\n", refused);
}

static void announce_blob(struct node *node, struct bus_peer *peer, size_t size, unsigned seed)
{
    AUTO_FREE char *data = make_blob(size, seed);
    struct digest digest;
    struct error error = {0};
    char hex[DIGEST_HEX_SIZE];
    bool put = bus_blob_put(node->bus, data, size, false, &digest, &error);
    if (put) {
        digest_to_hex(&digest, hex);
        AUTO_FREE char *body = mem_format("%s %zu %u", hex, size, seed);
        put = bus_send(peer, "blob", body, strlen(body), &error) != 0;
    }
    printf("{\"answer\":\"blob\",\"error\":\"%s\"}\n", put ? "" : error.message);
}

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2) {
        abort();
    }
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void print_stats(const struct node *node)
{
    const struct bus_stats *stats = bus_stats(node->bus);
    printf("{\"answer\":\"stats\",\"resident_kib\":%ld,\"cpu_ms\":%ld,\"up\":[", resident_kib(),
           (long)(clock() / (CLOCKS_PER_SEC / 1000)));
    for (size_t i = 0; i < node->peer_count; i++) {
        printf("%s%s", i > 0 ? "," : "", bus_peer_is_up(node->peers[i]) ? "true" : "false");
    }
    printf("],\"sent\":%llu,\"resent\":%llu,\"acknowledged\":%llu,\"received\":%llu,"
           "\"duplicates\":%llu,\"declined\":%llu,\"greeted\":%llu,\"key_changes\":%llu,"
           "\"dropped\":{",
           (unsigned long long)stats->sent, (unsigned long long)stats->resent,
           (unsigned long long)stats->acknowledged, (unsigned long long)stats->received,
           (unsigned long long)stats->duplicates, (unsigned long long)stats->declined,
           (unsigned long long)stats->greeted, (unsigned long long)stats->key_changes);
    for (int i = 0; i < BUS_DROPS; i++) {
        printf("%s\"%s\":%llu", i > 0 ? "," : "", bus_drop_name((enum bus_drop)i),
               (unsigned long long)stats->dropped[i]);
    }
    printf("}}\n");
}

static void run_command(struct node *node, const char *line)
{
    char kind[64];
    unsigned peer = 0, first = 0, count = 0;
    size_t size = 0;
    long long wait = 0;
    int read = sscanf(line, "send %u %63s %u %u %zu", &peer, kind, &first, &count, &size);
    if (read >= 4 && peer < node->peer_count) {
        send_numbers(node->peers[peer], kind, first, count, size);
    } else if (sscanf(line, "blob %u %zu %u", &peer, &size, &first) == 3 &&
               peer < node->peer_count) {
        announce_blob(node, node->peers[peer], size, first);
    } else if (sscanf(line, "ping %u %u", &peer, &count) == 2 && peer < node->peer_count) {
        node->pinged = node->peers[peer];
        node->pings = 0;
        node->pings_wanted = count;
        node->ping_us = mem_resize(node->ping_us, count, sizeof *node->ping_us);
        ping(node);
    } else if (sscanf(line, "drain %lld", &wait) == 1) {
        node->drain_ms = wait;
        event_base_loopbreak(node->base);
    } else if (text_equal(line, "stats")) {
        print_stats(node);
    } else if (text_equal(line, "quit")) {
        node->quit = true;
        event_base_loopbreak(node->base);
    } else {
        fprintf(stderr, "what is: %s\n", line);
        exit(2);
    }
}

/* One at a time: a drain must end before the next. */
static void run_commands(struct node *node)
{
    while (node->drain_ms < 0 && !node->quit) {
        AUTO_FREE char *line = evbuffer_readln(node->commands, NULL, EVBUFFER_EOL_LF);
        if (!line) {
            return;
        }
        run_command(node, line);
    }
}

static void on_input(evutil_socket_t fd, short events, void *context)
{
    (void)events;
    struct node *node = context;
    if (evbuffer_read(node->commands, fd, 65536) <= 0) {
        node->quit = true; /* whoever drives us is gone */
        event_base_loopbreak(node->base);
        return;
    }
    run_commands(node);
}

/* ---- start ---- */

static int fail(const struct error *error)
{
    fprintf(stderr, "bus_node: %s\n", error->message);
    return 1;
}

/* "LINK=ADDRESS". */
static bool add_peer(struct node *node, const char *text, struct error *error)
{
    const char *equals = strchr(text, '=');
    for (int link = 0; equals && link < BUS_LINKS; link++) {
        const char *name = bus_link_name((enum bus_link)link);
        if (strlen(name) == (size_t)(equals - text) && text_has_prefix(text, name) &&
            node->peer_count < PEERS_MAXIMUM) {
            struct bus_peer *peer = bus_peer_add(node->bus, (enum bus_link)link, equals + 1, error);
            node->peers[node->peer_count++] = peer;
            return peer != NULL;
        }
    }
    return error_set(error, ERROR_INVALID, "no peer: %s", text);
}

static void run(struct node *node)
{
    while (!node->quit) {
        event_base_dispatch(node->base);
        if (node->drain_ms >= 0) {
            bool drained = bus_drain(node->bus, node->drain_ms);
            node->drain_ms = -1;
            printf("{\"answer\":\"drain\",\"drained\":%s}\n", drained ? "true" : "false");
            run_commands(node);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option flags[] = {{"instance", 1, NULL, 'i'},  {"inbox", 1, NULL, 'b'},
                                          {"advertise", 1, NULL, 'a'}, {"keys", 1, NULL, 'k'},
                                          {"ledger", 1, NULL, 'l'},    {"decline", 1, NULL, 'd'},
                                          {NULL, 0, NULL, 0}};
    struct node node = {.ledger = -1, .drain_ms = -1};
    struct bus_options options = {
        .handlers = {.hint = on_hint, .peer_up = on_peer_up, .context = &node}};
    struct error error = {0};
    for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
        switch (flag) {
        case 'i':
            options.instance = optarg;
            break;
        case 'b':
            options.inbox = optarg;
            break;
        case 'a':
            options.advertise = optarg;
            break;
        case 'k':
            options.key_directory = optarg;
            break;
        case 'l':
            node.ledger = open(optarg, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
            break;
        case 'd':
            node.decline = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    node.base = event_base_new();
    node.commands = evbuffer_new();
    node.bus = bus_new(node.base, &options, &error);
    if (!node.bus) {
        return fail(&error);
    }
    for (int i = optind; i < argc; i++) {
        if (!add_peer(&node, argv[i], &error)) {
            return fail(&error);
        }
    }
    struct event *input = event_new(node.base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, &node);
    event_add(input, NULL);
    run(&node);
    event_free(input);
    bus_free(node.bus);
    evbuffer_free(node.commands);
    event_base_free(node.base);
    free(node.ping_us);
    return 0;
}
