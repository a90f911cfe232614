/*
 * guard.h - decides whether a request may be answered at all: by its API key, and by the Host and
 * Origin that a browser sends for the page that asks.
 *
 * A page of somebody else can make a browser send requests to a server on its own machine. Such a
 * request has the page's Origin, or, if the page's name was made to lead here, its name as Host.
 */
#ifndef MEGA_GUARD_H
#define MEGA_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "src/mega.h"

#define GUARD_MAX_KEYS 256
#define GUARD_MAX_KEY 256 /* bytes */

typedef struct Guard {
    const char *host;           /* the address that the server was told to listen on */
    bool is_loopback;           /* this address is one of the machine itself */
    const char *const *origins; /* [origin_count] of foreign pages that may ask; "*" is any */
    int origin_count;
    char (*keys)[GUARD_MAX_KEY + 1]; /* [key_count]; none: no key is needed */
    size_t key_count;
} Guard;

/* Holds what a request says about itself; NULL for a header that it does not have. */
typedef struct GuardRequest {
    const char *host, *origin, *authorization;
    bool needs_key;
} GuardRequest;

/* Returns whether an address is one of the machine itself: 127.0.0.0/8, ::1 or localhost. */
bool guard_is_loopback(const char *host);
/* Reads keys from a file, one a line; empty lines and those that begin with '#' do not count. */
int guard_read_keys(Guard *guard, const char *path, MegaError *err);
void guard_free(Guard *guard);

/* Returns 0 or the HTTP status of the refusal, whose sentence is in *err. */
int guard_check(const Guard *guard, const GuardRequest *request, MegaError *err);
/* Returns whether a foreign page of this Origin may read answers. */
bool guard_allows_origin(const Guard *guard, const char *origin);

#endif
