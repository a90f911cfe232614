/*
 * sound_stream.h - sound that is classified while it is sent: a chunked POST of samples, answered
 * by server-sent events as soon as something is heard.
 *
 *   connection -> pipe -> pipeline, in a thread of its own -> events -> socket
 *
 * libmicrohttpd answers a request only when it has arrived whole, so the events are written to the
 * socket directly. Nobody else writes there until the request ends, and with it the connection.
 */
#ifndef MEGA_SOUND_STREAM_H
#define MEGA_SOUND_STREAM_H

#include "tools/run/serve/answer.h"
#include "tools/run/serve/request.h"

typedef struct SoundStream SoundStream;

typedef struct SoundRequest {
    Request *request; /* its fields, and maybe the format of the samples */
    int socket;
    bool is_chunked;    /* the client takes a chunked answer, as all of HTTP/1.1 do */
    const char *origin; /* a foreign page that may read the answer; or NULL */
} SoundRequest;

/* Returns NULL with an answer if the request cannot be served. */
SoundStream *sound_stream_begin(Server *server, const SoundRequest *asked, Answer *answer);
/* Takes bytes of the samples. Returns false if the stream has ended. */
bool sound_stream_take(SoundStream *stream, const void *data, size_t size);
/* Ends the sound, sends what is left to say and frees the stream. */
void sound_stream_end(SoundStream *stream);

#endif
