/*
 * connections.c - see connections.h.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include "tools/run/serve/connections.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tools/common/progress.h"

#define WATCH_STEP 200 /* milliseconds between two looks at slow senders */

Connection *connections_add(Connections *connections, int fd)
{
    Connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    *connection = (Connection){.fd = fd, .since = clock_seconds()};
    pthread_mutex_lock(&connections->lock);
    connection->next = connections->first;
    connections->first = connection;
    pthread_mutex_unlock(&connections->lock);
    return connection;
}

void connections_remove(Connections *connections, Connection *connection)
{
    pthread_mutex_lock(&connections->lock);
    for (Connection **at = &connections->first; *at; at = &(*at)->next)
        if (*at == connection) {
            *at = connection->next;
            break;
        }
    pthread_mutex_unlock(&connections->lock);
    free(connection);
}

void connection_begin(Connections *connections, Connection *connection)
{
    if (!connection)
        return;
    pthread_mutex_lock(&connections->lock);
    connection->has_begun = true;
    connection->since = clock_seconds();
    pthread_mutex_unlock(&connections->lock);
}

bool connection_set(Connections *connections, Connection *connection, ConnectionState state)
{
    if (!connection)
        return true;
    pthread_mutex_lock(&connections->lock);
    const bool lives = connection->state != CONNECTION_CUT_OFF;
    if (lives)
        connection->state = state;
    connection->since = clock_seconds();
    connection->has_begun = false;
    pthread_mutex_unlock(&connections->lock);
    return lives;
}

void connection_give_time(Connections *connections, Connection *connection, size_t bytes)
{
    if (!connection)
        return;
    const double now = clock_seconds();
    pthread_mutex_lock(&connections->lock);
    const double since = connection->since + (double)bytes / LEAST_RATE;
    connection->since = since < now ? since : now;
    pthread_mutex_unlock(&connections->lock);
}

/* ---- Slow senders --------------------------------------------------------------------------- */

/* Tells a client that it was too slow, and ends the connection. Nobody else writes to it, since its
 * request is not there yet. */
static void cut_off(Connection *connection)
{
    static const char text[] =
        "{\"error\":{\"code\":\"MEGA_ERR_LIMIT\",\"message\":\"the request did not arrive in "
        "time\"}}\n";
    char answer[512];
    const int size = snprintf(answer, sizeof answer,
                              "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
                              "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                              sizeof text - 1, text);
    connection->state = CONNECTION_CUT_OFF;
    if (connection->has_begun &&
        send(connection->fd, answer, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        connection->has_begun = false; /* it does not listen either */
    shutdown(connection->fd, SHUT_RDWR);
}

static void *watch(void *context)
{
    Connections *connections = context;
    while (!atomic_load(&connections->is_ending)) {
        poll(NULL, 0, WATCH_STEP);
        const double now = clock_seconds();
        pthread_mutex_lock(&connections->lock);
        for (Connection *at = connections->first; at; at = at->next)
            if (at->state == CONNECTION_READING && now - at->since > connections->timeout)
                cut_off(at);
        pthread_mutex_unlock(&connections->lock);
    }
    return NULL;
}

int connections_begin(Connections *connections, double timeout, MegaError *err)
{
    connections->timeout = timeout;
    pthread_mutex_init(&connections->lock, NULL);
    if (pthread_create(&connections->watcher, NULL, watch, connections) == 0)
        return 0;
    pthread_mutex_destroy(&connections->lock);
    return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a thread");
}

void connections_end(Connections *connections)
{
    atomic_store(&connections->is_ending, true);
    pthread_join(connections->watcher, NULL);
    pthread_mutex_destroy(&connections->lock);
}

bool has_left(int fd)
{
    struct pollfd socket = {.fd = fd, .events = POLLRDHUP};
    return poll(&socket, 1, 0) == 1 && (socket.revents & (POLLRDHUP | POLLHUP | POLLERR));
}
