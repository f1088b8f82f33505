#include "common/bus/address.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool parse_ipc(const char *text, struct address *ret, struct error *error)
{
    const char *path = text + strlen("ipc://");
    size_t room = sizeof((struct sockaddr_un *)NULL)->sun_path - sizeof ".blobs";
    const char *name = strrchr(path, '/');
    if (path[0] != '/' || name[1] == '\0') {
        return error_set(error, ERROR_INVALID,
                         "the bus address \"%s\" is not ipc:// and the absolute path of a socket",
                         text);
    }
    if (strlen(path) > room) {
        return error_set(error, ERROR_INVALID,
                         "the path of the bus address \"%s\" is %zu bytes long; the kernel takes "
                         "%zu for a socket: choose a shorter directory",
                         text, strlen(path), room);
    }
    ret->is_ipc = true;
    snprintf(ret->inbox, sizeof ret->inbox, "%s", text);
    snprintf(ret->blobs, sizeof ret->blobs, "%s.blobs", text);
    return true;
}

static bool is_ip(const char *host, bool *ret_ipv6)
{
    uint8_t address[sizeof(struct in6_addr)];
    size_t length = strlen(host);
    *ret_ipv6 = length > 2 && host[0] == '[' && host[length - 1] == ']';
    if (!*ret_ipv6) {
        return inet_pton(AF_INET, host, address) == 1;
    }
    AUTO_FREE char *inner = mem_string_n(host + 1, length - 2);
    return inet_pton(AF_INET6, inner, address) == 1;
}

static bool parse_tcp(const char *text, struct address *ret, struct error *error)
{
    const char *host = text + strlen("tcp://"), *colon = strrchr(host, ':');
    int64_t port = 0;
    if (strlen(text) < FRAME_ADDRESS_SIZE && colon && text_parse_int(colon + 1, &port) &&
        port >= 1 && port < UINT16_MAX) {
        AUTO_FREE char *address = mem_string_n(host, (size_t)(colon - host));
        if (is_ip(address, &ret->is_ipv6)) {
            snprintf(ret->inbox, sizeof ret->inbox, "tcp://%s:%d", address, (int)port);
            snprintf(ret->blobs, sizeof ret->blobs, "tcp://%s:%d", address, (int)port + 1);
            return true;
        }
    }
    return error_set(error, ERROR_INVALID,
                     "the bus address \"%s\" is not tcp://IP:PORT with a port of 1 to 65534 (names "
                     "are not followed; the port after it serves blobs)",
                     text);
}

bool bus_address_parse(const char *text, struct address *ret, struct error *error)
{
    struct address address = {0};
    bool parsed = false;
    if (text_has_prefix(text, "ipc://")) {
        parsed = parse_ipc(text, &address, error);
    } else if (text_has_prefix(text, "tcp://")) {
        parsed = parse_tcp(text, &address, error);
    } else {
        error_set(error, ERROR_INVALID,
                  "the bus address \"%s\" begins neither with ipc:// nor with tcp://",
                  text_or_empty(text));
    }
    if (parsed) {
        *ret = address;
    }
    return parsed;
}

static bool make_parents(char *path, struct error *error)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool made = mkdir(path, 0755) == 0 || errno == EEXIST;
        if (!made) {
            return error_set_errno(error, errno, "making the directory %s for the bus", path);
        }
        *slash = '/';
    }
    return true;
}

bool bus_address_make_directory(const struct address *address, struct error *error)
{
    AUTO_FREE char *path = mem_string(address->inbox + strlen("ipc://"));
    *strrchr(path, '/') = '\0';
    if (path[0] == '\0') {
        return error_set(error, ERROR_INVALID,
                         "the bus address %s is in the root directory: give it a directory of its "
                         "own",
                         address->inbox);
    }
    if (!make_parents(path, error)) {
        return false;
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return error_set_errno(error, errno, "making the directory %s for the bus", path);
    }
    struct stat status;
    if (stat(path, &status) != 0) {
        return error_set_errno(error, errno, "looking at the directory %s of the bus", path);
    }
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0) {
        return error_set(error, ERROR_DENIED,
                         "the bus would be open to others: %s must be a directory of user %u with "
                         "mode 0700; it belongs to user %u and has mode %04o",
                         path, geteuid(), status.st_uid, status.st_mode & 07777);
    }
    return true;
}
