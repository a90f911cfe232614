/*
 * connections.h - the open connections of a server, and a watcher that cuts off those that take too
 * long to send a request.
 */
#ifndef MEGA_CONNECTIONS_H
#define MEGA_CONNECTIONS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "src/mega.h"

#define LEAST_RATE 65536 /* bytes a second of a body that takes longer than the timeout */

/* Says what a connection is doing. */
typedef enum ConnectionState {
    CONNECTION_READING,   /* it waits for a request, or is sent one */
    CONNECTION_ANSWERING, /* the request is there, and its answer is made or sent */
    CONNECTION_STREAMING, /* it is sent sound, which may come as slowly as it is spoken */
    CONNECTION_CUT_OFF,   /* it was too slow and has been closed */
} ConnectionState;

typedef struct Connection {
    int fd;
    ConnectionState state;
    bool has_begun; /* the first line of a request is there */
    double since;   /* when it began to wait */
    struct Connection *next;
} Connection;

typedef struct Connections {
    pthread_mutex_t lock;
    Connection *first;
    double timeout; /* seconds */
    pthread_t watcher;
    atomic_bool is_ending;
} Connections;

int connections_begin(Connections *connections, double timeout, MegaError *err);
void connections_end(Connections *connections);

/* Notes a new connection; NULL without memory. */
Connection *connections_add(Connections *connections, int fd);
/* Forgets a connection before its socket is closed; NULL is legal here and below. */
void connections_remove(Connections *connections, Connection *connection);
/* Notes that the first line of a request has come. */
void connection_begin(Connections *connections, Connection *connection);
/* Changes what a connection does. Returns false if it was cut off. */
bool connection_set(Connections *connections, Connection *connection, ConnectionState state);
/* Gives a long body more time: a second for LEAST_RATE bytes. */
void connection_give_time(Connections *connections, Connection *connection, size_t bytes);

/* Returns whether the other end of a socket was closed. */
bool has_left(int fd);

#endif
