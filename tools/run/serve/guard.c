/*
 * guard.c - see guard.h.
 */
#include "tools/run/serve/guard.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "formats/base/input_stream.h"

#define MAX_KEY_FILE ((uint64_t)GUARD_MAX_KEYS * (GUARD_MAX_KEY + 2))
#define MAX_HOST 256

/* ---- Keys ----------------------------------------------------------------------------------- */

static int add_key(Guard *guard, const char *key, size_t size, const char *path, MegaError *err)
{
    if (guard->key_count == GUARD_MAX_KEYS || size > GUARD_MAX_KEY)
        return mega_fail(err, MEGA_ERR_LIMIT, "%s: expected at most %d keys of at most %d bytes",
                         path, GUARD_MAX_KEYS, GUARD_MAX_KEY);
    memcpy(guard->keys[guard->key_count], key, size);
    guard->keys[guard->key_count++][size] = '\0';
    return 0;
}

int guard_read_keys(Guard *guard, const char *path, MegaError *err)
{
    MegaBuffer text = {0};
    int code = mega_source_read(&text, path, "a list of API keys", MAX_KEY_FILE, err);
    const char *at = text.size ? (const char *)text.data : "", *end = at + text.size;
    if (!code && !(guard->keys = calloc(GUARD_MAX_KEYS, sizeof *guard->keys)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for API keys");
    while (!code && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *line = at;
        size_t size = (size_t)((stop ? stop : end) - at);
        mega_utf8_trim(&line, &size);
        if (size && line[0] != '#')
            code = add_key(guard, line, size, path, err);
        at = stop ? stop + 1 : end;
    }
    if (!code && guard->key_count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "%s has no API key; expected one a line", path);
    mega_buffer_free(&text);
    return code;
}

void guard_free(Guard *guard)
{
    free(guard->keys);
    guard->keys = NULL;
    guard->key_count = 0;
}

/* Compares in a time that does not depend on where the texts differ. */
static bool is_same_key(const char *key, const char *given)
{
    const size_t size = strlen(given);
    unsigned differ = size != strlen(key);
    for (size_t i = 0; key[i]; i++)
        differ |= (unsigned char)key[i] ^ (unsigned char)given[size ? i % size : 0];
    return differ == 0;
}

static bool has_key(const Guard *guard, const char *authorization)
{
    bool found = false;
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return false;
    const char *given = authorization + 7 + strspn(authorization + 7, " ");
    for (size_t i = 0; i < guard->key_count; i++)
        found |= is_same_key(guard->keys[i], given);
    return found;
}

/* ---- Hosts and origins ---------------------------------------------------------------------- */

/* Copies a host without its port, and without the brackets of an IPv6 address. */
static bool copy_host(const char *text, char out[MAX_HOST])
{
    const bool is_bracketed = text[0] == '[';
    const size_t length = is_bracketed ? strcspn(text + 1, "]") : strcspn(text, ":");
    if (length == 0 || length >= MAX_HOST)
        return false;
    memcpy(out, text + is_bracketed, length);
    out[length] = '\0';
    return true;
}

static bool is_address(const char *host)
{
    uint8_t address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

bool guard_is_loopback(const char *host)
{
    uint8_t address[16];
    static const uint8_t loopback[16] = {[15] = 1};
    if (inet_pton(AF_INET, host, address) == 1)
        return address[0] == 127;
    if (inet_pton(AF_INET6, host, address) == 1)
        return memcmp(address, loopback, sizeof loopback) == 0;
    return strcasecmp(host, "localhost") == 0;
}

/* Returns whether a Host is a name of this server: an address, which nobody else can make lead
 * here, this machine's own name, or what --host said. */
static bool is_own_host(const Guard *guard, const char *text)
{
    char host[MAX_HOST], name[MAX_HOST] = "";
    if (!copy_host(text, host))
        return false;
    if (guard_is_loopback(host) || strcasecmp(host, guard->host) == 0)
        return true;
    if (guard->is_loopback)
        return false;
    return is_address(host) ||
           (gethostname(name, sizeof name - 1) == 0 && strcasecmp(host, name) == 0);
}

/* Returns whether an Origin is that of the server's own page: it is then called as Host says. */
static bool is_own_origin(const char *origin, const char *host)
{
    const char *name = strstr(origin, "://");
    return name && host && strcasecmp(name + 3, host) == 0;
}

bool guard_allows_origin(const Guard *guard, const char *origin)
{
    for (int i = 0; i < guard->origin_count; i++)
        if (strcmp(guard->origins[i], "*") == 0 || strcasecmp(guard->origins[i], origin) == 0)
            return true;
    return false;
}

int guard_check(const Guard *guard, const GuardRequest *request, MegaError *err)
{
    const char *origin = request->origin;
    if (request->host && !guard->key_count && !is_own_host(guard, request->host)) {
        mega_fail(err, MEGA_ERR_ARGUMENT,
                  "the request is for the host '%.60s', which is not one of this server's names",
                  request->host);
        return 403;
    }
    if (origin && !is_own_origin(origin, request->host) && !guard_allows_origin(guard, origin)) {
        mega_fail(
            err, MEGA_ERR_ARGUMENT,
            "the request comes from a page of '%.60s'; the server was not started with --cors "
            "for it",
            origin);
        return 403;
    }
    if (request->needs_key && guard->key_count && !has_key(guard, request->authorization)) {
        mega_fail(err, MEGA_ERR_ARGUMENT, "%s; expected the header 'Authorization: Bearer KEY'",
                  request->authorization ? "the API key is not one of this server's"
                                         : "the request has no API key");
        return 401;
    }
    return 0;
}
