/*
 * http.h - the HTTP side of a server, on libmicrohttpd: one thread a connection.
 *
 *   socket -> guard.c -> body, within its limits -> request.c -> job -> queue -> answer
 *
 * Whoever sends his request too slowly is cut off: after `timeout` seconds without a byte, or if a
 * request has not arrived whole in that time.
 */
#ifndef MEGA_HTTP_H
#define MEGA_HTTP_H

#include "tools/run/serve/server.h"

typedef struct Http Http;

/* Opens the port and starts to answer. *port becomes the number of the port. */
int http_begin(Http **out, Server *server, int *port, MegaError *err);
/* Accepts no new connections. Open ones may finish what they have begun. */
void http_refuse(Http *http);
/* Returns how many requests have been read and not been answered to their end. */
int http_busy(Http *http);
/* Closes all connections. */
void http_end(Http *http);

#endif
