#include "fetcher/fetch.h"

void fetch_request_read(const cJSON *request, struct fetch_request *ret)
{
    *ret = (struct fetch_request){
        .directory = json_string(request, "directory"),
        .url = json_string(request, "url"),
        .branch = json_string(request, "branch"),
        .tag = json_string(request, "tag"),
        .semver = json_string(request, "semver"),
        .name = json_string(request, "name"),
        .commit = json_string(request, "commit"),
        .previous = json_string(request, "previous"),
        .username = json_string(request, "username"),
        .password = json_string(request, "password"),
        .bearer_token = json_string(request, "bearerToken"),
        .authorities = json_string(request, "authorities"),
        .identity = json_string(request, "identity"),
        .known_hosts = json_string(request, "knownHosts"),
        .certificate = json_string(request, "certificate"),
        .key = json_string(request, "key"),
        .proxy = json_string(request, "proxy"),
        .proxy_username = json_string(request, "proxyUsername"),
        .proxy_password = json_string(request, "proxyPassword"),
        .chart = json_string(request, "chart"),
        .version = json_string(request, "version"),
        .digest = json_string(request, "digest"),
        .servers = json_array(request, "servers"),
        .verify_tag = json_bool(request, "verifyTag", false),
        .verify_head = json_bool(request, "verifyHead", false),
        .size_maximum = (uint64_t)json_int(request, "sizeMaximum", 0),
        .timeout_ms = json_int(request, "timeoutMs", 0),
        .allow_file_urls = json_bool(request, "allowFileUrls", false),
        .fresh = json_bool(request, "fresh", false),
    };
}
