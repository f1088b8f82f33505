/* Before anything is rendered: what SOPS has encrypted among the files is decrypted, each part by a
 * run of the program, several at once. Ciphertext goes in through a pipe and plaintext comes out
 * through one; the keys stand in the program's environment (age) or in a directory in memory
 * (OpenPGP), never in its arguments and never on a disk.
 *
 * What the program says is never repeated, since it quotes values; its exit status, and what the
 * file itself says of its recipients, are told instead.
 *
 * Cost: one start of the program a file. A build that has decrypted files gets its copy of them in
 * memory too (build.c). */
#include "common/base/clock.h"
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/child.h"
#include "common/run/sandbox.h"
#include "differ/render/internal.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#define AT_ONCE 2 /* runs of the program */
#define AGE_MAXIMUM ((size_t)64 << 10)
#define OPENPGP_MAXIMUM ((size_t)4 << 20)
#define PROGRAM "sops"

/* Exit statuses of SOPS (cmd/sops/codes). */
enum {
    SOPS_MAC_BROKEN = 24,
    SOPS_VALUE_BROKEN = 25,
    SOPS_MAC_MISMATCH = 51,
    SOPS_MAC_MISSING = 52,
    SOPS_NO_KEY = 128,
};

struct decrypt_run {
    struct decrypt_work *work; /* NULL: free */
    struct render_decrypted *file;
    size_t part;
    struct child *child;
};

/* One application's. */
struct decrypt_work {
    struct render_scan *scan;
    const struct render_sink *sink;
    const struct render_builder *builder;
    char *program; /* its path */
    char *age;     /* the variable with the identities */
    char *home;    /* the variable of GnuPG's directory, or NULL */
    char *keyring; /* that directory, or NULL */
    int64_t until; /* monotonic ms */
    size_t running;
    struct decrypt_run runs[AT_ONCE];
};

/* ---- What has been decrypted ---- */

static void decrypted_free(void *value)
{
    struct render_decrypted *file = value;
    for (size_t i = 0; file->texts && i < file->file.count; i++) {
        free(file->texts[i].data);
    }
    free(file->texts);
    sops_file_release(&file->file);
    buf_release(&file->source);
    free(file);
}

void render_decrypted_release(struct render_scan *scan)
{
    map_release(&scan->decrypted, decrypted_free);
    for (size_t i = 0; i < scan->hidden_count; i++) {
        free(scan->hidden[i]);
    }
    free(scan->hidden);
}

const struct render_decrypted *render_decrypted_file(const struct render_scan *scan,
                                                     const char *path)
{
    return map_get(&scan->decrypted, path);
}

bool render_decrypted_write(const struct render_decrypted *file, struct buf *out)
{
    for (size_t i = 0; i < file->file.count; i++) {
        const struct sops_part *part = &file->file.parts[i];
        if (!part->format) {
            buf_append(out, file->source.data + part->start, part->size);
            continue;
        }
        /* Other documents may stand before it and behind it. */
        if (i && out->size && !text_has_prefix(file->texts[i].data, "---")) {
            buf_append_string(out, "---\n");
        }
        buf_append(out, file->texts[i].data, file->texts[i].size);
        if (i + 1 < file->file.count && out->size && out->data[out->size - 1] != '\n') {
            buf_append_char(out, '\n');
        }
    }
    return !out->overflowed;
}

/* ---- What went wrong ---- */

static void decrypt_problem(const struct decrypt_work *work, const struct render_decrypted *file,
                            size_t part, const char *message)
{
    if (work->scan->undecrypted++ < RENDER_ERRORS_MAXIMUM) {
        work->sink->error(file->name, file->file.parts[part].lines[0], message,
                          work->sink->context);
    }
}

static const char *decrypt_keys_name(const struct decrypt_work *work)
{
    const char *name = json_string(work->scan->options.decryption, "from");
    return name ? name : "those given";
}

static char *decrypt_explain(const struct decrypt_work *work, const struct sops_part *part,
                             int exit_code, const struct error *why)
{
    switch (why->code) {
    case ERROR_TIMEOUT:
        return mem_format("SOPS did not decrypt it in time");
    case ERROR_LIMIT:
        return mem_format("SOPS was ended: it took more than it may to decrypt the file");
    case ERROR_SYSTEM:
        return mem_format("SOPS was ended by signal %d while it decrypted the file",
                          exit_code - 128);
    default:
        break;
    }
    switch (exit_code) {
    case SOPS_NO_KEY:
        return mem_format("no key of %s decrypts it; it is encrypted for %s",
                          decrypt_keys_name(work), part->recipients);
    case SOPS_MAC_BROKEN:
    case SOPS_MAC_MISMATCH:
    case SOPS_MAC_MISSING:
        return mem_string(
            "its content is not what was encrypted (the message authentication code is "
            "missing or does not match); change it with sops, and not by hand");
    case SOPS_VALUE_BROKEN:
        return mem_string("one of its values cannot be decrypted: it was added or changed after "
                          "the file was encrypted; change it with sops, and not by hand");
    default:
        return mem_format("SOPS cannot read it (exit status %d): what it wrote there is damaged, "
                          "or of a version that is not known here",
                          exit_code);
    }
}

/* ---- The program ---- */

static void decrypt_end(const char *output, size_t size, int exit_code, const struct error *why,
                        void *context)
{
    struct decrypt_run *run = context;
    struct decrypt_work *work = run->work;
    struct render_decrypted *file = run->file;
    run->work = NULL;
    work->running--;
    if (why) {
        const struct sops_part *part = &file->file.parts[run->part];
        AUTO_FREE char *message = decrypt_explain(work, part, exit_code, why);
        decrypt_problem(work, file, run->part, message);
        file->failed = true;
        return;
    }
    file->texts[run->part].data = mem_string_n(output, size);
    file->texts[run->part].size = size;
    render_hide_part(work->scan, file, run->part);
}

static void decrypt_start(struct decrypt_work *work, struct decrypt_run *run,
                          struct render_decrypted *file, size_t number, struct event_base *loop)
{
    const struct sops_part *part = &file->file.parts[number];
    int64_t left = work->until - clock_monotonic_ms();
    const char *const argv[] = {work->program, "decrypt",       "--input-type",
                                part->format,  "--output-type", part->format,
                                NULL};
    /* What it cannot reach it need not ask again and again, where a file names such keys too. */
    const char *const environment[] = {work->age,
                                       "HOME=/none",
                                       "GOTRACEBACK=none",
                                       "GOMAXPROCS=2",
                                       "AWS_EC2_METADATA_DISABLED=true",
                                       "AWS_MAX_ATTEMPTS=1",
                                       "VAULT_MAX_RETRIES=0",
                                       work->home,
                                       NULL};
    const char *const read_only[] = {work->keyring, NULL};
    const char *const execute[] = {work->program, NULL};
    const struct sandbox_options sandbox = {.read_only = read_only, .execute = execute};
    const struct child_options options = {
        .argv = argv,
        .environment = environment,
        .input = file->source.data + part->start,
        .input_size = part->size,
        .output_maximum = RENDER_FILE_MAXIMUM,
        .timeout_ms = left > 1 ? left : 1,
        .memory_maximum = work->builder->memory_maximum,
        .cpu_seconds = work->builder->timeout_ms / 1000 * 2 + 1,
        .directory = "/", /* above which no .sops.yaml is looked for */
        .sandbox = &sandbox,
    };
    struct error error;
    *run = (struct decrypt_run){work, file, number, NULL};
    run->child = child_start(loop, &options, decrypt_end, run, &error);
    if (!run->child) {
        run->work = NULL;
        decrypt_problem(work, file, number, error.message);
        file->failed = true;
        return;
    }
    work->running++;
}

/* One that is free; the loop turns until there is one. */
static struct decrypt_run *decrypt_await(struct decrypt_work *work, struct event_base *loop)
{
    while (work->running == AT_ONCE) {
        event_base_loop(loop, EVLOOP_ONCE);
    }
    for (size_t i = 0; i < AT_ONCE; i++) {
        if (!work->runs[i].work) {
            return &work->runs[i];
        }
    }
    return NULL;
}

static void decrypt_file(struct decrypt_work *work, struct render_decrypted *file,
                         struct event_base *loop)
{
    for (size_t i = 0; i < file->file.count && work->scan->undecrypted < RENDER_ERRORS_MAXIMUM;
         i++) {
        const struct sops_part *part = &file->file.parts[i];
        if (!part->format) {
            continue;
        }
        if (!part->recipients) {
            decrypt_problem(work, file, i, "what SOPS wrote there names nobody who can decrypt it");
            file->failed = true;
        } else if (part->key_is_far) {
            AUTO_FREE char *message = mem_format(
                "it is encrypted for %s, a service on the network, and rendering reaches "
                "nobody; add an age or OpenPGP key (sops updatekeys)",
                part->recipients);
            decrypt_problem(work, file, i, message);
            file->failed = true;
        } else if (clock_monotonic_ms() >= work->until) {
            decrypt_problem(work, file, i, "there was no time left to decrypt it");
            file->failed = true;
        } else {
            decrypt_start(work, decrypt_await(work, loop), file, i, loop);
        }
    }
}

/* ---- Keys ---- */

static bool decrypt_write_keyring(struct decrypt_work *work, const struct buf *packets,
                                  struct error *error)
{
    const char *memory = work->builder->memory;
    if (!memory) {
        return error_set(error, ERROR_INVALID, "OpenPGP keys need a directory in memory: %s",
                         text_or_empty(work->builder->memory_problem));
    }
    work->keyring = mem_format("%s/gnupg", memory);
    work->home = mem_format("GNUPGHOME=%s", work->keyring);
    AUTO_FREE char *path = mem_format("%s/secring.gpg", work->keyring);
    return directory_remove(work->keyring, error) && directory_make(work->keyring, error) &&
           render_tree_write_file(path, packets, error);
}

static bool decrypt_read_openpgp(struct decrypt_work *work, const cJSON *keys, struct error *error)
{
    AUTO_BUF struct buf packets;
    buf_init(&packets, OPENPGP_MAXIMUM);
    for (const cJSON *it = json_first(keys); it; it = it->next) {
        const char *text = cJSON_IsString(it) ? it->valuestring : "";
        if (!sops_openpgp_packets(text, &packets)) {
            return error_set(error, ERROR_INVALID,
                             "%s: %s is no armoured OpenPGP private key (gpg --export-secret-keys "
                             "--armor)",
                             decrypt_keys_name(work), text_or_empty(it->string));
        }
    }
    return !packets.size || decrypt_write_keyring(work, &packets, error);
}

static bool decrypt_read_age(struct decrypt_work *work, const cJSON *keys, struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, AGE_MAXIMUM);
    for (const cJSON *it = json_first(keys); it; it = it->next) {
        AUTO_FREE char *identities = sops_age_identities(cJSON_IsString(it) ? it->valuestring : "");
        if (!identities) {
            return error_set(error, ERROR_INVALID,
                             "%s: %s holds no age identity (AGE-SECRET-KEY-1…, as age-keygen makes "
                             "it)",
                             decrypt_keys_name(work), text_or_empty(it->string));
        }
        buf_append_string(&text, identities);
    }
    if (text.overflowed) {
        return error_set(error, ERROR_LIMIT, "%s: the age identities have more than %zu KiB",
                         decrypt_keys_name(work), AGE_MAXIMUM >> 10);
    }
    work->age = mem_format("SOPS_AGE_KEY=%s", text.data);
    return true;
}

static bool decrypt_prepare(struct decrypt_work *work, struct error *error)
{
    const cJSON *decryption = work->scan->options.decryption;
    AUTO_FREE char *found = child_find_program(PROGRAM);
    work->program = found ? realpath(found, NULL) : NULL;
    if (!work->program) {
        return error_set(error, ERROR_INVALID,
                         "sops decrypts files, and there is no program of that name on the PATH, "
                         "nor beside this one");
    }
    if (!json_size(json_object(decryption, "age")) && !json_size(json_object(decryption, "pgp"))) {
        return error_set(error, ERROR_INVALID,
                         "%s: there is no key whose name ends in .agekey or "
                         ".asc",
                         decrypt_keys_name(work));
    }
    return decrypt_read_age(work, json_object(decryption, "age"), error) &&
           decrypt_read_openpgp(work, json_object(decryption, "pgp"), error);
}

static void decrypt_release(struct decrypt_work *work)
{
    if (work->keyring) {
        directory_remove(work->keyring, NULL);
    }
    free(work->program);
    free(work->age);
    free(work->home);
    free(work->keyring);
}

/* ---- What is encrypted ---- */

/* Of a chart, what its author leaves beside the templates is of no concern while nobody wants
 * anything decrypted: plugins of Helm have encrypted files there. */
static bool decrypt_concerns(const struct render_scan *scan, const struct render_item *item)
{
    return !item->problem && !item->target &&
           (scan->options.decryption || scan->type != RENDER_HELM ||
            render_helm_is_values(scan, item->path));
}

/* Without the keys that is told, and counts as a failure. */
static void decrypt_note(struct decrypt_work *work, const struct render_item *item,
                         struct render_decrypted *file)
{
    struct render_scan *scan = work->scan;
    size_t first = 0;
    while (!file->file.parts[first].format) {
        first++;
    }
    file->name = item->file;
    if (!scan->options.decryption) {
        decrypt_problem(work, file, first,
                        "it is encrypted by SOPS; set spec.decryption, with the Secret that holds "
                        "the key (gitmoor render: --decrypt-key FILE)");
        decrypted_free(file);
        return;
    }
    if (map_has(&scan->public, item->path)) {
        decrypt_problem(work, file, first,
                        "it is encrypted by SOPS, and a configMapGenerator reads it: a ConfigMap "
                        "would show what is secret; use a secretGenerator");
        file->failed = true;
    }
    file->texts = mem_new(file->file.count, sizeof(*file->texts));
    map_set(&scan->decrypted, item->path, file);
}

static bool decrypt_find(struct decrypt_work *work, struct error *error)
{
    struct render_scan *scan = work->scan;
    for (size_t i = 0; i < scan->count; i++) {
        const struct render_item *item = &scan->items[i];
        if (!decrypt_concerns(scan, item) || map_has(&scan->decrypted, item->path)) {
            continue;
        }
        struct render_decrypted *file = NEW(struct render_decrypted);
        struct error why = {0};
        buf_init(&file->source, RENDER_FILE_MAXIMUM);
        bool read = source_read(scan->source, item->path, &file->source, &why);
        if (read) {
            sops_file_read(item->path, file->source.data, file->source.size, &file->file);
        }
        if (file->file.encrypted) {
            decrypt_note(work, item, file);
        } else {
            decrypted_free(file);
        }
        if (!read && !render_is_result(&why)) { /* the rest is told when it is rendered */
            *error = why;
            return false;
        }
    }
    return true;
}

static void decrypt_all(struct decrypt_work *work, struct event_base *loop)
{
    AUTO_FREE const char **paths = map_sorted_keys(&work->scan->decrypted);
    for (size_t i = 0; i < work->scan->decrypted.count; i++) {
        struct render_decrypted *file = map_get(&work->scan->decrypted, paths[i]);
        if (!file->failed) {
            decrypt_file(work, file, loop);
        }
    }
    while (work->running) {
        event_base_loop(loop, EVLOOP_ONCE);
    }
}

bool render_decrypt(struct render_scan *scan, const struct render_builder *builder,
                    const struct render_sink *sink, struct event_base *loop, struct error *error)
{
    struct decrypt_work work = {.scan = scan,
                                .sink = sink,
                                .builder = builder,
                                .until = clock_monotonic_ms() + builder->timeout_ms};
    struct error why = {0};
    /* Of plain manifests the objects themselves are looked at. */
    if (!scan->options.decryption && !render_scan_is_built(scan)) {
        return true;
    }
    if (!decrypt_find(&work, &why)) {
        if (error) {
            *error = why;
        }
        return false;
    }
    if (scan->decrypted.count && !decrypt_prepare(&work, &why)) {
        scan->undecrypted++;
        scan->without_keys = true;
        sink->error("spec.decryption", 0, why.message, sink->context);
    } else if (scan->decrypted.count) {
        decrypt_all(&work, loop);
    }
    decrypt_release(&work);
    return true;
}
