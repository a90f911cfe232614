/*
 * http.c - see http.h.
 */
#include "tools/run/serve/http.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/common/json.h"
#include "tools/common/messages.h"
#include "tools/common/progress.h"
#include "tools/run/serve/answer.h"
#include "tools/run/serve/connections.h"
#include "tools/run/serve/mhd.h"
#include "tools/run/serve/operations.h"
#include "tools/run/serve/sound_stream.h"

/* Bytes of a connection for the head of a request. A head for which there is no room gets the
 * library's own page and not our JSON, so this is much more than MAX_HEAD. */
#define CONNECTION_MEMORY ((size_t)256 << 10)
#define MAX_HEAD ((size_t)16 << 10)          /* bytes of header names and values */
#define MAX_CONNECTIONS 1024u
#define STACK_SIZE ((size_t)1 << 20)
#define BACKLOG 511
#define EARLY_REFUSAL ((uint64_t)256 << 10) /* bodies up to this size are read before a refusal */
#define BODIES 4 /* number of bodies of the largest size that may be in memory together */
#define MAX_BODIES_LEAST ((uint64_t)256 << 20)
#define MAX_VALUES (2 * REQUEST_MAX_VALUES) /* of all JSON bodies together */
#define PIECE_SIZE 16384
#define PIECE_WAIT 0.2 /* seconds */

struct Http {
    Server *server;
    struct MHD_Daemon *daemon;
    int listening; /* the socket, or -1 */
    Connections connections;
    bool has_connections;
    atomic_int busy;
};

/* A request while it is read and answered. */
typedef struct Exchange {
    Http *http;
    struct MHD_Connection *connection;
    const Route *route;
    double begun;
    MegaBuffer body;
    uint64_t counted;   /* bytes of the body in server->body_bytes */
    uint64_t values;    /* bytes of its values in server->value_bytes */
    uint64_t passed;    /* bytes that have come of a body that is not kept */
    Answer answer;      /* set early if the request is refused; its status is then not 0 */
    bool is_read;       /* the body has arrived */
    SoundStream *sound; /* sound that streams */
    const char *method, *path, *version;
} Exchange;

/* ---- Connections ---------------------------------------------------------------------------- */

static int fd_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

static Connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void note_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                            enum MHD_ConnectionNotificationCode code)
{
    Http *http = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = connections_add(&http->connections, fd_of(connection));
        return;
    }
    connections_remove(&http->connections, *socket_context);
    *socket_context = NULL;
}

/* Called with the first line of a request. */
static void *note_line(void *context, const char *line, struct MHD_Connection *connection)
{
    Http *http = context;
    (void)line;
    connection_begin(&http->connections, connection_of(connection));
    return NULL;
}

/* Changes what a connection does. Returns false if it was cut off. */
static bool set_state(Http *http, struct MHD_Connection *connection, ConnectionState state)
{
    return connection_set(&http->connections, connection_of(connection), state);
}

/* Returns after how many seconds of silence the library ends a connection, without a word. That is
 * later than connections.c, which tells the client why. */
static unsigned int library_timeout(double seconds)
{
    return seconds > 0 ? (unsigned int)seconds + 2 : 0;
}

static void set_timeout(struct MHD_Connection *connection, double seconds)
{
    mhd.set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, library_timeout(seconds));
}

/* Returns whether the client of an exchange has left. */
static bool is_gone(void *context)
{
    const Exchange *exchange = context;
    return has_left(fd_of(exchange->connection));
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* Describes the body of an answer that streams: pieces of a job, which are sent as they come. */
typedef struct Pieces {
    Exchange *exchange;
    Server *server;
    Job *job;
    MegaBuffer buffer;
    size_t sent;
    bool ends; /* the error of a job that failed was put after its pieces */
} Pieces;

static void put_failure(Pieces *pieces)
{
    MegaError *err = &pieces->job->err;
    json_t *object = json_pack("{s:o}", "error", json_error(err));
    char *line = json_dumps(object, JSON_LINE);
    json_decref(object);
    mega_put_bytes(&pieces->buffer, "data: ", 6);
    mega_put_bytes(&pieces->buffer, line ? line : "", line ? strlen(line) : 0);
    mega_put_bytes(&pieces->buffer, "\n\n", 2);
    free(line);
}

static ssize_t give_piece(void *context, uint64_t position, char *out, size_t size)
{
    Pieces *pieces = context;
    Queue *queue = &pieces->server->queue;
    (void)position;
    set_timeout(pieces->exchange->connection, 0);
    while (pieces->sent == pieces->buffer.size) {
        mega_buffer_free(&pieces->buffer);
        pieces->sent = 0;
        if (pieces->ends)
            return MHD_CONTENT_READER_END_OF_STREAM;
        while (!queue_wait(queue, pieces->job, PIECE_WAIT))
            if (is_gone(pieces->exchange))
                return MHD_CONTENT_READER_END_WITH_ERROR;
        if (!queue_take_pieces(queue, pieces->job, &pieces->buffer)) {
            pieces->ends = true;
            if (pieces->job->err.code)
                put_failure(pieces);
        }
    }
    const size_t left = pieces->buffer.size - pieces->sent, step = left < size ? left : size;
    memcpy(out, pieces->buffer.data + pieces->sent, step);
    pieces->sent += step;
    set_timeout(pieces->exchange->connection, pieces->server->options->timeout);
    return (ssize_t)step;
}

static void end_pieces(void *context)
{
    Pieces *pieces = context;
    Server *server = pieces->server;
    if (!pieces->ends)
        metrics_abandoned(&server->metrics);
    metrics_tokens(&server->metrics, atomic_load(&pieces->job->tokens_read),
                   atomic_load(&pieces->job->tokens_made));
    queue_release(&server->queue, pieces->job, true);
    mega_buffer_free(&pieces->buffer);
    free(pieces);
}

static struct MHD_Response *stream_response(Exchange *exchange)
{
    Server *server = exchange->http->server;
    Pieces *pieces = calloc(1, sizeof *pieces);
    struct MHD_Response *response = NULL;
    if (pieces) {
        *pieces = (Pieces){.exchange = exchange, .server = server, .job = exchange->answer.stream};
        response = mhd.create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_SIZE, give_piece,
                                                     pieces, end_pieces);
    }
    if (!response) {
        queue_release(&server->queue, exchange->answer.stream, true);
        free(pieces);
    }
    exchange->answer.stream = NULL;
    return response;
}

static const char *header(const Exchange *exchange, const char *name)
{
    return mhd.lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

static void add_headers(const Exchange *exchange, struct MHD_Response *response)
{
    const Answer *answer = &exchange->answer;
    const char *origin = header(exchange, "Origin");
    char seconds[16];
    if (answer->type)
        mhd.add_response_header(response, "Content-Type", answer->type);
    mhd.add_response_header(response, "X-Content-Type-Options", "nosniff");
    mhd.add_response_header(response, "Cache-Control", "no-store");
    if (answer->allow)
        mhd.add_response_header(response, "Allow", answer->allow);
    if (answer->status == 401)
        mhd.add_response_header(response, "WWW-Authenticate", "Bearer");
    if (answer->retry_after) {
        snprintf(seconds, sizeof seconds, "%d", answer->retry_after);
        mhd.add_response_header(response, "Retry-After", seconds);
    }
    if (exchange->route && exchange->route->path[1] == '\0')
        mhd.add_response_header(response, "Content-Security-Policy",
                                "default-src 'none'; style-src 'unsafe-inline'; script-src "
                                "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'");
    if (!origin || !guard_allows_origin(&exchange->http->server->guard, origin))
        return;
    mhd.add_response_header(response, "Access-Control-Allow-Origin", origin);
    mhd.add_response_header(response, "Vary", "Origin");
    mhd.add_response_header(response, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    mhd.add_response_header(response, "Access-Control-Allow-Headers",
                            "Authorization, Content-Type");
    mhd.add_response_header(response, "Access-Control-Max-Age", "600");
}

static void log_answer(const Exchange *exchange)
{
    const Server *server = exchange->http->server;
    const double seconds = clock_seconds() - exchange->begun;
    metrics_answer(&exchange->http->server->metrics,
                   exchange->route ? exchange->route->path : "other", exchange->answer.status,
                   seconds);
    if (server->options->verbose)
        report("%.20s %.200s: %d after %.1f ms", exchange->method, exchange->path,
               exchange->answer.status, 1e3 * seconds);
}

static enum MHD_Result send_answer(Exchange *exchange)
{
    Answer *answer = &exchange->answer;
    struct MHD_Response *response;
    log_answer(exchange);
    if (answer->status == 499)
        return MHD_NO;
    if (answer->stream) {
        response = stream_response(exchange);
    } else if (answer->text.failed) {
        return MHD_NO;
    } else {
        response = mhd.create_response_from_buffer(answer->text.size, answer->text.data,
                                                   MHD_RESPMEM_MUST_FREE);
        if (response)
            answer->text = (MegaBuffer){0};
    }
    if (!response)
        return MHD_NO;
    add_headers(exchange, response);
    if (atomic_load(&exchange->http->server->is_stopping))
        mhd.add_response_header(response, "Connection", "close");
    set_timeout(exchange->connection, exchange->http->server->options->timeout);
    const enum MHD_Result result =
        mhd.queue_response(exchange->connection, (unsigned)answer->status, response);
    mhd.destroy_response(response);
    return result;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static enum MHD_Result add_size(void *context, enum MHD_ValueKind kind, const char *key,
                                const char *value)
{
    size_t *size = context;
    (void)kind;
    *size += strlen(key) + (value ? strlen(value) : 0);
    return MHD_YES;
}

/* Refuses a request, with a status other than 0. */
static void refuse(Exchange *exchange, int status, int code, const char *sentence)
{
    MegaError err = {0};
    mega_fail(&err, code, "%s", sentence);
    answer_error(&exchange->answer, status, &err);
}

/* Checks everything that the head of a request tells. */
static void check_head(Exchange *exchange)
{
    Server *server = exchange->http->server;
    const char *length = header(exchange, "Content-Length");
    size_t head = strlen(exchange->path);
    MegaError err = {0};
    mhd.get_connection_values(exchange->connection, MHD_HEADER_KIND, add_size, &head);
    if (head > MAX_HEAD) {
        refuse(exchange, 431, MEGA_ERR_LIMIT, "the head of the request has more than 16 KiB");
        return;
    }
    const bool is_preflight = strcmp(exchange->method, "OPTIONS") == 0;
    if (!is_preflight)
        exchange->route = route_find(exchange->path, exchange->method, &exchange->answer);
    const GuardRequest asked = {.host = header(exchange, "Host"),
                                .origin = header(exchange, "Origin"),
                                .authorization = header(exchange, "Authorization"),
                                .needs_key = !is_preflight &&
                                             !(exchange->route && exchange->route->is_open)};
    const int status = guard_check(&server->guard, &asked, &err);
    if (status)
        answer_error(&exchange->answer, status, &err);
    else if (is_preflight)
        exchange->answer = (Answer){.status = 204, .allow = "GET, HEAD, POST, OPTIONS"};
    else if (exchange->route && exchange->route->operation && atomic_load(&server->is_stopping))
        refuse(exchange, 503, MEGA_ERR_LIMIT, "the server is about to stop");
    else if (exchange->route && length && strtoull(length, NULL, 10) > server->options->max_body)
        refuse(exchange, 413, MEGA_ERR_LIMIT, "the body is larger than --max-body allows");
}

/* Returns whether a body is so long that it is not read just to be refused. */
static bool has_long_body(const Exchange *exchange)
{
    const char *length = header(exchange, "Content-Length");
    return header(exchange, "Transfer-Encoding") || header(exchange, "Expect") ||
           (length && strtoull(length, NULL, 10) > EARLY_REFUSAL);
}

/* Holds the request to which the fields of the query are added. */
typedef struct Arguments {
    Request *request;
    MegaError *err;
} Arguments;

static enum MHD_Result add_argument(void *context, enum MHD_ValueKind kind, const char *key,
                                    size_t key_size, const char *value, size_t size)
{
    const Arguments *arguments = context;
    (void)kind;
    return request_add(arguments->request, key, key_size, value ? value : "", size, arguments->err)
               ? MHD_NO
               : MHD_YES;
}

/* Reads a body and the query. */
static int read_request(const Exchange *exchange, const MegaBuffer *body, Request *out,
                        MegaError *err)
{
    Arguments arguments = {out, err};
    int code = request_read(out, header(exchange, "Content-Type"), body->data, body->size, err);
    if (!code)
        mhd.get_connection_values_n(exchange->connection, MHD_GET_ARGUMENT_KIND, add_argument,
                                    &arguments);
    return err->code;
}

/* Returns whether a request is sound that streams. */
static bool wants_stream(const Exchange *exchange)
{
    const char *stream =
        mhd.lookup_connection_value(exchange->connection, MHD_GET_ARGUMENT_KIND, "stream");
    return exchange->route && exchange->route->operation == &classify_operation && stream &&
           (strcmp(stream, "true") == 0 || strcmp(stream, "1") == 0);
}

static void begin_sound(Exchange *exchange)
{
    Server *server = exchange->http->server;
    const char *origin = header(exchange, "Origin");
    const MegaBuffer nothing = {0};
    MegaError err = {0};
    Request *request = calloc(1, sizeof *request);
    if (!request) {
        refuse(exchange, 503, MEGA_ERR_MEMORY, "no memory for the request");
        return;
    }
    if (read_request(exchange, &nothing, request, &err)) {
        answer_error(&exchange->answer, 0, &err);
        request_free(request);
        free(request);
        return;
    }
    const SoundRequest asked = {
        .request = request,
        .socket = fd_of(exchange->connection),
        .is_chunked = strcmp(exchange->version, MHD_HTTP_VERSION_1_1) == 0,
        .origin = origin && guard_allows_origin(&server->guard, origin) ? origin : NULL};
    exchange->sound = sound_stream_begin(server, &asked, &exchange->answer);
    if (exchange->sound)
        set_state(exchange->http, exchange->connection, CONNECTION_STREAMING);
}

static enum MHD_Result begin_exchange(Http *http, struct MHD_Connection *connection,
                                      const char *path, const char *method, const char *version,
                                      void **context)
{
    Exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        return MHD_NO;
    *exchange = (Exchange){.http = http,
                           .connection = connection,
                           .begun = clock_seconds(),
                           .method = method,
                           .path = path,
                           .version = version};
    *context = exchange;
    atomic_fetch_add(&http->busy, 1);
    check_head(exchange);
    if (!exchange->answer.status && wants_stream(exchange))
        begin_sound(exchange);
    if (exchange->answer.status && has_long_body(exchange)) {
        set_state(http, connection, CONNECTION_ANSWERING);
        return send_answer(exchange);
    }
    return MHD_YES;
}

/* Takes a part of the body. */
static enum MHD_Result take_body(Exchange *exchange, const char *data, size_t size)
{
    Server *server = exchange->http->server;
    const uint64_t most = server->options->max_body, all = most * BODIES;
    if (exchange->sound)
        return sound_stream_take(exchange->sound, data, size) ? MHD_YES : MHD_NO;
    if (exchange->answer.status) { /* the body of a request that is refused */
        exchange->passed += size;
        return exchange->passed > EARLY_REFUSAL + most ? MHD_NO : MHD_YES;
    }
    connection_give_time(&exchange->http->connections, connection_of(exchange->connection), size);
    const uint64_t before = atomic_fetch_add(&server->body_bytes, size);
    exchange->counted += size;
    if (exchange->body.size + size > most)
        refuse(exchange, 413, MEGA_ERR_LIMIT, "the body is larger than --max-body allows");
    else if (before + size > (all > MAX_BODIES_LEAST ? all : MAX_BODIES_LEAST)) {
        refuse(exchange, 429, MEGA_ERR_LIMIT, "too many large requests are being read");
        exchange->answer.retry_after = 1;
    }
    if (!exchange->answer.status)
        mega_put_bytes(&exchange->body, data, size);
    if (!exchange->answer.status && exchange->body.failed)
        refuse(exchange, 503, MEGA_ERR_MEMORY, "no memory for the body");
    if (exchange->answer.status)
        mega_buffer_free(&exchange->body);
    return MHD_YES;
}

/* Counts the values that a body becomes, which may be much larger than it is. Returns false, and
 * refuses the request, if those of all requests would be too many. */
static bool count_values(Exchange *exchange)
{
    Server *server = exchange->http->server;
    const MegaBuffer *body = &exchange->body;
    const uint64_t size =
        request_values_size(header(exchange, "Content-Type"), body->data, body->size);
    if (size > REQUEST_MAX_VALUES) /* the request is an error by itself */
        return true;
    const uint64_t before = atomic_fetch_add(&server->value_bytes, size);
    exchange->values = size;
    if (before + size <= MAX_VALUES)
        return true;
    refuse(exchange, 429, MEGA_ERR_LIMIT, "too many large requests are being answered");
    exchange->answer.retry_after = 1;
    return false;
}

/* Makes a job of a request that has arrived, and waits for it. */
static void run_operation(Exchange *exchange)
{
    Server *server = exchange->http->server;
    if (!count_values(exchange))
        return;
    Job *job = job_new(exchange->route->operation, &server->models, &exchange->body);
    if (!job) {
        refuse(exchange, 503, MEGA_ERR_MEMORY, "no memory for the request");
        return;
    }
    int code = read_request(exchange, &job->body, &job->request, &job->err);
    if (!code && job->request.file && !job->operation->takes_file)
        code = mega_fail(&job->err, MEGA_ERR_UNSUPPORTED,
                         "%s takes no file; send application/json, a form or text/plain",
                         job->operation->path);
    if (!code)
        code = job->operation->prepare(job, &job->err);
    if (code) {
        answer_error(&exchange->answer, job->status, &job->err);
        queue_release(&server->queue, job, false);
        return;
    }
    answer_job(server, job, is_gone, exchange, &exchange->answer);
}

/* Answers a request that has arrived whole. */
static enum MHD_Result finish_exchange(Exchange *exchange)
{
    Server *server = exchange->http->server;
    const char *name = NULL;
    if (exchange->sound) { /* the answer was sent while the request came */
        sound_stream_end(exchange->sound);
        exchange->sound = NULL;
        exchange->answer.status = 200;
        log_answer(exchange);
        return MHD_NO;
    }
    if (!set_state(exchange->http, exchange->connection, CONNECTION_ANSWERING))
        return MHD_NO;
    set_timeout(exchange->connection, 0);
    if (!exchange->answer.status && exchange->route->get) {
        const size_t length = strlen(exchange->route->path);
        if (length > 1 && exchange->route->path[length - 1] == '/')
            name = exchange->path + length;
        exchange->route->get(server, name, &exchange->answer);
    } else if (!exchange->answer.status) {
        run_operation(exchange);
    }
    return send_answer(exchange);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **exchange_context)
{
    Exchange *exchange = *exchange_context;
    if (!exchange)
        return begin_exchange(context, connection, path, method, version, exchange_context);
    if (*size) {
        const enum MHD_Result result = take_body(exchange, data, *size);
        *size = 0;
        return result;
    }
    if (exchange->is_read)
        return MHD_YES;
    exchange->is_read = true;
    return finish_exchange(exchange);
}

static void note_completed(void *context, struct MHD_Connection *connection,
                           void **exchange_context, enum MHD_RequestTerminationCode code)
{
    Http *http = context;
    Exchange *exchange = *exchange_context;
    (void)code;
    if (!exchange)
        return;
    if (exchange->sound)
        sound_stream_end(exchange->sound);
    if (exchange->answer.stream)
        queue_release(&http->server->queue, exchange->answer.stream, true);
    atomic_fetch_sub(&http->server->body_bytes, exchange->counted);
    atomic_fetch_sub(&http->server->value_bytes, exchange->values);
    mega_buffer_free(&exchange->body);
    mega_buffer_free(&exchange->answer.text);
    free(exchange);
    *exchange_context = NULL;
    set_state(http, connection, CONNECTION_READING);
    atomic_fetch_sub(&http->busy, 1);
}

/* ---- The whole ------------------------------------------------------------------------------ */

/* Opens a socket that listens. */
static int open_socket(const ServeOptions *options, int *out, int *port, MegaError *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *addresses = NULL;
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof bound;
    char service[16], number[16];
    const int on = 1;
    snprintf(service, sizeof service, "%d", options->port);
    const int failed = getaddrinfo(options->host, service, &hints, &addresses);
    if (failed)
        return mega_fail(err, MEGA_ERR_IO, "cannot listen on %s: %s", options->host,
                         gai_strerror(failed));
    int fd = -1, reason = 0;
    for (const struct addrinfo *at = addresses; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0)
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (fd >= 0 && bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
            break;
        reason = errno;
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(addresses);
    if (fd < 0)
        return mega_fail(err, MEGA_ERR_IO, "cannot listen on %s, port %d: %s", options->host,
                         options->port, strerror(reason));
    *port = options->port;
    if (getsockname(fd, (struct sockaddr *)&bound, &length) == 0 &&
        getnameinfo((struct sockaddr *)&bound, length, NULL, 0, number, sizeof number,
                    NI_NUMERICSERV) == 0)
        *port = atoi(number);
    *out = fd;
    return 0;
}

int http_begin(Http **out, Server *server, int *port, MegaError *err)
{
    const ServeOptions *options = server->options;
    Http *http = calloc(1, sizeof *http);
    if (!http)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a server");
    http->server = server;
    http->listening = -1;
    int code = open_socket(options, &http->listening, port, err);
    if (!code)
        code = connections_begin(&http->connections, options->timeout, err);
    http->has_connections = !code;
    if (!code)
        http->daemon = mhd.start_daemon(
            MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                MHD_USE_ITC,
            0, NULL, NULL, handle, http, MHD_OPTION_LISTEN_SOCKET, http->listening,
            MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
            CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, library_timeout(options->timeout),
            MHD_OPTION_THREAD_STACK_SIZE, STACK_SIZE, MHD_OPTION_NOTIFY_COMPLETED, note_completed,
            http, MHD_OPTION_NOTIFY_CONNECTION, note_connection, http, MHD_OPTION_URI_LOG_CALLBACK,
            note_line, http, MHD_OPTION_END);
    if (!code && !http->daemon)
        code = mega_fail(err, MEGA_ERR_IO, "libmicrohttpd cannot start: %s", strerror(errno));
    if (code)
        http_end(http);
    else
        *out = http;
    return code;
}

void http_refuse(Http *http)
{
    const int fd = mhd.quiesce_daemon(http->daemon);
    if (fd != MHD_INVALID_SOCKET)
        close(fd);
    http->listening = -1;
}

int http_busy(Http *http)
{
    return atomic_load(&http->busy);
}

void http_end(Http *http)
{
    if (!http)
        return;
    if (http->daemon)
        mhd.stop_daemon(http->daemon);
    else if (http->listening >= 0)
        close(http->listening);
    if (http->has_connections)
        connections_end(&http->connections);
    free(http);
}
