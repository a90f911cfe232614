/*
 * input.h - from a path to what the model is fed: decode (formats/) and features (src/features.h).
 *
 * An InputReader is made once per model and thread; a path then gives one clip or, for audio with a
 * window, several. Messages name the file, what was found in it and what the model expects.
 */
#ifndef RUN_INPUT_H
#define RUN_INPUT_H

#include "mega.h"
#include "model.h"

typedef struct InputOptions {
    bool ids;              /* text holds numbers: token ids used as they are */
    bool has_raw;          /* headerless PCM */
    const char *raw;       /* "s16le:16000:1": sample format, rate, channels */
    double window, hop;    /* seconds; 0: one clip per recording */
} InputOptions;

/* One thing to classify. views points into the owned buffers. */
typedef struct Input {
    MegaInput views[2]; /* second one for pair models */
    int count;
    double start, end;  /* seconds within the recording, when a window was asked for */
    float *values;
    int32_t *tokens[2];
} Input;

typedef struct InputReader InputReader;

int input_reader_new(InputReader **out, const MegaModel *model, const InputOptions *options,
                     MegaError *err);
void input_reader_free(InputReader *reader);

/* Begins a path ("-": standard input). second is the other path of a pair model, else NULL. */
int input_reader_begin(InputReader *reader, const char *path, const char *second, MegaError *err);
/* The next clip: 1 and *out, 0 at the end, or a negative error. Free each with input_free. */
int input_reader_next(InputReader *reader, Input *out, MegaError *err);
void input_free(Input *input);

/* What a file holds, by content first and name second; for choosing a model and for messages. */
typedef enum InputKind {
    INPUT_UNKNOWN,
    INPUT_AUDIO,
    INPUT_IMAGE,
    INPUT_TEXT,
} InputKind;
InputKind input_sniff(const char *path);

#endif
