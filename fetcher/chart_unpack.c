#include "fetcher/chart_unpack.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

/* What stands in the archive besides files (directories, attributes) is bounded too. */
#define ENTRIES_MAXIMUM (4 * CHART_FILES_MAXIMUM)
#define CHUNK 65536

struct unpacking {
    struct archive *archive;
    char *top; /* the directory that everything is in */
    struct buf content;
    size_t total, files, entries;
    bool (*file)(const char *path, const void *data, size_t size, void *context,
                 struct error *error);
    void *context;
    struct error *error;
};

static bool refuse(struct unpacking *unpacking, const char *name, const char *why)
{
    AUTO_FREE char *shown = mem_string(name);
    for (char *c = shown; *c; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7F ? '?' : *c;
    }
    return error_set(unpacking->error, ERROR_INVALID, "\"%.200s\" %s", shown, why);
}

static bool fail_archive(struct unpacking *unpacking)
{
    const char *why = archive_error_string(unpacking->archive);
    return error_set(unpacking->error, ERROR_INVALID, "it is no archive that can be read: %s",
                     why ? why : "no reason given");
}

/* What is wrong with one part of a path, or NULL. */
static const char *check_part(const char *part, size_t size)
{
    if (size == 0 || (size == 1 && *part == '.')) {
        return "has an empty part in its path";
    }
    if (size == 2 && part[0] == '.' && part[1] == '.') {
        return "leads out of the chart by \"..\"";
    }
    if (size > CHART_NAME_MAXIMUM) {
        return "has a part of over 255 bytes in its path";
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)part[i] < ' ' || part[i] == 0x7F || part[i] == '\\') {
            return "has a control character or a backslash in its path";
        }
    }
    return NULL;
}

static const char *check_path(const char *path)
{
    unsigned depth = 0;
    if (*path == '/') {
        return "is an absolute path";
    }
    if (strlen(path) > CHART_PATH_MAXIMUM) {
        return "has a path of over 1024 bytes";
    }
    for (const char *part = path;; part++) {
        size_t size = strcspn(part, "/");
        const char *problem = check_part(part, size);
        if (problem || ++depth > CHART_DEPTH_MAXIMUM) {
            return problem ? problem : "is nested more than 64 directories deep";
        }
        part += size;
        if (*part == '\0') {
            return NULL;
        }
    }
}

static const char *type_problem(const struct archive_entry *entry)
{
    struct archive_entry *link =
        (struct archive_entry *)entry; /* libarchive's getter wants it so */
    if (archive_entry_hardlink(link)) {
        return "is a hard link; a chart may hold regular files only";
    }
    switch (archive_entry_filetype(link)) {
    case AE_IFREG:
        return NULL;
    case AE_IFLNK:
        return "is a symbolic link; a chart may hold regular files only";
    default:
        return "is neither a regular file nor a directory";
    }
}

static bool read_content(struct unpacking *unpacking, const char *path)
{
    char chunk[CHUNK];
    buf_clear(&unpacking->content);
    for (;;) {
        ssize_t got = archive_read_data(unpacking->archive, chunk, sizeof chunk);
        if (got < 0) {
            return fail_archive(unpacking);
        }
        if (got == 0) {
            return true;
        }
        unpacking->total += (size_t)got;
        if (unpacking->total > CHART_TOTAL_MAXIMUM) {
            return error_set(unpacking->error, ERROR_LIMIT,
                             "it is over %zu MiB large unpacked, at \"%.200s\"",
                             CHART_TOTAL_MAXIMUM >> 20, path);
        }
        if (!buf_append(&unpacking->content, chunk, (size_t)got)) {
            return error_set(unpacking->error, ERROR_LIMIT,
                             "\"%.200s\" is over %zu MiB large unpacked", path,
                             CHART_FILE_MAXIMUM >> 20);
        }
    }
}

/* Takes the chart's directory off, which all files have in common. */
static const char *below_top(struct unpacking *unpacking, const char *path)
{
    const char *slash = strchr(path, '/');
    if (!slash) {
        refuse(unpacking, path, "is not below a directory of the chart's name");
        return NULL;
    }
    if (!unpacking->top) {
        unpacking->top = mem_string_n(path, (size_t)(slash - path + 1));
    }
    if (!text_has_prefix(path, unpacking->top)) {
        refuse(unpacking, path, "is in another directory than the files before it");
        return NULL;
    }
    return slash + 1;
}

static bool take_entry(struct unpacking *unpacking, struct archive_entry *entry)
{
    const char *utf8 = archive_entry_pathname_utf8(entry);
    const char *name = utf8 ? utf8 : archive_entry_pathname(entry);
    if (!name || !text_is_utf8(name, strlen(name))) {
        return refuse(unpacking, "(unreadable)", "is the name of a file: it is not UTF-8");
    }
    if (++unpacking->entries > ENTRIES_MAXIMUM) {
        return error_set(unpacking->error, ERROR_LIMIT, "it has over %d entries", ENTRIES_MAXIMUM);
    }
    AUTO_FREE char *path = mem_string(name + (text_has_prefix(name, "./") ? 2 : 0));
    size_t length = strlen(path);
    bool is_directory = archive_entry_filetype(entry) == AE_IFDIR;
    if (is_directory && length > 0 && path[length - 1] == '/') {
        path[length - 1] = '\0';
    }
    const char *problem = is_directory && !*path ? NULL : check_path(path);
    problem = problem || is_directory ? problem : type_problem(entry);
    if (problem) {
        return refuse(unpacking, name, problem);
    }
    if (is_directory) {
        /* Content of such would be unpacked only to be passed over. */
        return archive_entry_size(entry) == 0 ||
               refuse(unpacking, name, "is a directory with content");
    }
    if (++unpacking->files > CHART_FILES_MAXIMUM) {
        return error_set(unpacking->error, ERROR_LIMIT, "it has over %d files",
                         CHART_FILES_MAXIMUM);
    }
    const char *below = below_top(unpacking, path);
    return below && read_content(unpacking, path) &&
           unpacking->file(below, unpacking->content.data, unpacking->content.size,
                           unpacking->context, unpacking->error);
}

static bool take_all(struct unpacking *unpacking)
{
    for (;;) {
        struct archive_entry *entry = NULL;
        int result = archive_read_next_header(unpacking->archive, &entry);
        if (result == ARCHIVE_EOF) {
            return unpacking->files > 0 ||
                   error_set(unpacking->error, ERROR_INVALID, "it holds no file");
        }
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
            return fail_archive(unpacking);
        }
        if (!take_entry(unpacking, entry)) {
            return false;
        }
    }
}

bool chart_unpack(const void *data, size_t size,
                  bool (*file)(const char *path, const void *data, size_t size, void *context,
                               struct error *error),
                  void *context, struct error *error)
{
    struct unpacking unpacking = {
        .archive = archive_read_new(), .file = file, .context = context, .error = error};
    buf_init(&unpacking.content, CHART_FILE_MAXIMUM);
    bool opened = unpacking.archive &&
                  archive_read_support_filter_gzip(unpacking.archive) == ARCHIVE_OK &&
                  archive_read_support_format_tar(unpacking.archive) == ARCHIVE_OK;
    bool unpacked = opened ? archive_read_open_memory(unpacking.archive, data, size) == ARCHIVE_OK
                                 ? take_all(&unpacking)
                                 : fail_archive(&unpacking)
                           : error_set(error, ERROR_INTERNAL, "libarchive cannot be set up");
    archive_read_free(unpacking.archive);
    buf_release(&unpacking.content);
    free(unpacking.top);
    return unpacked;
}
