/*
 * input.h - from a path to what the model is fed: decode (formats/) and features
 * (src/pipeline/preprocess.h).
 *
 * An InputReader is made once per model and thread; a path then gives one clip or, for audio with a
 * window, several. Messages name the file, what was found in it and what the model expects.
 *
 * Audio without a window: one clip per recording. Where the model has a clip length (audio.length),
 * a shorter recording is padded with zero samples, before normalisation. Of one that is longer, by
 * more than a hundredth, the first clip is given, which says so (is_cut); with `scan` all of it, as
 * with a window of one clip and a hop of a quarter.
 * Audio with a window: one clip every hop, from the start of the recording, until a window reaches
 * its end. The last one may be partial: it is padded with zero samples to the window, and to the
 * model's length, while its `end` is that of the recording. A window longer than the model's clips
 * is an error. Memory is one window, whatever the length of the recording.
 *
 * Pair models read two paths, or one text with a TAB between the two.
 */
#ifndef MEGA_INPUT_H
#define MEGA_INPUT_H

#include "formats/media/audio.h"
#include "src/mega.h"
#include "src/model/model.h"

typedef struct InputOptions {
    bool ids;            /* text holds numbers: token ids used as they are */
    bool has_raw;        /* headerless PCM */
    MegaPcm raw;         /* its format */
    bool partial;        /* take what is there of a recording that is cut short, with a warning */
    double window, hop;  /* seconds; window 0: one clip per recording, hop 0: as window */
    bool no_orient;      /* pictures as they lie in their files, whatever Exif says */
    uint64_t max_memory; /* bytes that the model and reading an input may take; 0: no limit */
    void (*warn)(const char *sentence); /* of what is taken although it is not right; or NULL */
    bool scan;           /* without a window: long recordings in windows all the same */
} InputOptions;

/* One thing to classify. views points into the owned buffers. */
typedef struct Input {
    MegaInput views[2]; /* second one for pair models */
    int count;
    double start, end; /* audio: seconds within the recording */
    bool is_cut;       /* of a longer recording, the rest of which is not looked at */
    bool scanned;      /* a window of a long recording, though none was asked for */
    float *values;
    int32_t *tokens[2];
    uint64_t memory; /* bytes of it, and of the recording that its reader holds */
} Input;

typedef struct InputReader InputReader;

int input_reader_new(InputReader **out, const MegaModel *model, const InputOptions *options,
                     MegaError *err);
void input_reader_free(InputReader *reader);

/* Begins a path ("-": standard input). second is the other path of a pair model, else NULL. */
int input_reader_begin(InputReader *reader, const char *path, const char *second, MegaError *err);
/* The next clip: 1 and *out, 0 at the end, or a negative error, after which the path is
 * over. Free each with input_free. */
int input_reader_next(InputReader *reader, Input *out, MegaError *err);
void input_free(Input *input);
/* Behind a clip that is_cut: how long the recording is, in seconds. 0: a pipe, which may have no
 * end, or the rest cannot be read. Reads it to its end. */
double input_reader_length(InputReader *reader);
/* Seconds of the model's clips; 0: they have any length, or it does not take sound. */
double input_reader_clip(const InputReader *reader);

/* What a file holds, by content first and name second; for choosing a model and for messages. */
typedef enum InputKind {
    INPUT_UNKNOWN,
    INPUT_AUDIO,
    INPUT_IMAGE,
    INPUT_TEXT,
} InputKind;
InputKind input_sniff(const char *path);
/* The error for a path of unknown kind when a model is to be chosen by it: it cannot be opened, or
 * what it is. */
int input_fail_unknown(const char *path, MegaError *err);

#endif
