/*
 * answer.h - an answer before it is sent: a status with JSON, a text or a stream of events.
 */
#ifndef MEGA_ANSWER_H
#define MEGA_ANSWER_H

#include "tools/run/serve/server.h"

typedef struct Answer {
    int status;
    const char *type;  /* content type */
    MegaBuffer text;   /* the body; it may be moved away */
    int retry_after;   /* seconds; 0: no such header */
    const char *allow; /* methods, of a route that has no other; or NULL */
    Job *stream;       /* its pieces are the body; or NULL */
} Answer;

/* The page of "/", of which the Makefile makes a source file: page.html. */
extern const char serve_page[];
extern const size_t serve_page_size;

/* A route: what is answered at a path. */
typedef struct Route {
    const char *path;           /* one that ends in '/' has a name behind it */
    const char *method;         /* "GET" or "POST" */
    const Operation *operation; /* of a POST */
    void (*get)(Server *server, const char *name, Answer *answer);
    bool is_open; /* needs no key */
} Route;

/* Returns the route of a path and method. Returns NULL with an answer if there is none. */
const Route *route_find(const char *path, const char *method, Answer *answer);

/* Makes the answer for an error; status 0 takes the one that fits its code. */
void answer_error(Answer *answer, int status, const MegaError *err);
void answer_json(Answer *answer, json_t *json);
int status_of_error(int code);

/* Runs a job that was prepared. is_gone tells whether the client has left, which ends the work; the
 * answer is then empty, with status 499. */
void answer_job(Server *server, Job *job, bool (*is_gone)(void *context), void *context,
                Answer *answer);

#endif
