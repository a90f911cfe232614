/*
 * answer.h - the answer to a request, before it is sent: a status with JSON, a text or a stream of
 * events. routes.c makes answers, http.c sends them.
 */
#ifndef MEGA_ANSWER_H
#define MEGA_ANSWER_H

#include "tools/run/serve/server.h"

typedef struct Answer {
    int status;
    const char *type;  /* content type */
    MegaBuffer text;   /* the body; it may be moved away */
    int retry_after;   /* seconds; 0: no such header */
    const char *allow; /* the methods that the route has, if the request has another one; or NULL */
    Job *stream;       /* its pieces are the body; or NULL */
} Answer;

/* The page that "/" answers with. The Makefile makes a source file of page.html. */
extern const char serve_page[];
extern const size_t serve_page_size;

/* Describes how requests for a path are answered. */
typedef struct Route {
    const char *path;           /* a path that ends in '/' is followed by a name */
    const char *method;         /* "GET" or "POST" */
    const Operation *operation; /* runs a POST; NULL for a route of GET */
    void (*get)(Server *server, const char *name, Answer *answer);
    bool is_open; /* needs no key */
} Route;

/* Returns the route of a path and method. Returns NULL with an answer if there is none. */
const Route *route_find(const char *path, const char *method, Answer *answer);

/* Makes the answer for an error. With status 0 it gets the HTTP status that fits the error's
 * code. */
void answer_error(Answer *answer, int status, const MegaError *err);
void answer_json(Answer *answer, json_t *json);
int status_of_error(int code);

/* Runs a job that was prepared. is_gone tells whether the client has left, which ends the work; the
 * answer is then empty, with status 499. */
void answer_job(Server *server, Job *job, bool (*is_gone)(void *context), void *context,
                Answer *answer);

#endif
