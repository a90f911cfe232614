/*
 * input.h - from a raw input to what the model is fed: decode (MegaMedia) and preprocess.h.
 *
 * A MegaInputReader is made once per model and thread; an input then gives one clip or, for sound
 * with a window, several. Messages name the input, what was found in it and what the model expects.
 *
 * Sound without a window: one clip per recording. Where the model has a clip length (audio.length),
 * a shorter recording is padded with zero samples, before normalisation. Of one that is longer, by
 * more than a hundredth, the first clip is given, which says so (is_cut); with `scan` all of it, as
 * with a window of one clip and a hop of a quarter.
 * Sound with a window: one clip every hop, from the start of the recording, until a window reaches
 * its end. The last one may be partial: it is padded with zero samples to the window, and to the
 * model's length, while its `end` is that of the recording. A window longer than the model's clips
 * is an error. Memory is one window, whatever the length of the recording.
 *
 * Pair models read two inputs, or one text with a TAB between the two.
 */
#ifndef MEGA_INPUT_H
#define MEGA_INPUT_H

#include "formats/text/vocab.h"
#include "src/mega.h"
#include "src/model/model.h"

/* One thing to classify. views points into the owned buffers. */
typedef struct MegaPrepared {
    MegaInput views[2]; /* second one for pair models */
    int count;
    double start, end; /* audio: seconds within the recording */
    bool is_cut;       /* of a longer recording, the rest of which is not looked at */
    bool scanned;      /* a window of a long recording, though none was asked for */
    float *values;
    int32_t *tokens[2];
    uint64_t memory; /* bytes of it, and of the recording that its reader holds */
} MegaPrepared;

typedef struct MegaInputReader MegaInputReader;

int mega_input_reader_new(MegaInputReader **out, const MegaModel *model,
                          const MegaPipelineOptions *options, MegaError *err);
void mega_input_reader_free(MegaInputReader *reader);

/* Begins an input, of which two are a pair model's. What they point to must stay, except paths. */
int mega_input_reader_begin(MegaInputReader *reader, const MegaRaw *inputs, int count,
                            MegaError *err);
/* The same for a path; second is the other path of a pair model, else NULL. */
int mega_input_reader_open(MegaInputReader *reader, const char *path, const char *second,
                           MegaError *err);
/* The next clip: 1 and *out, 0 at the end, or a negative error, after which the path is
 * over. Free each with mega_prepared_free. */
int mega_input_reader_next(MegaInputReader *reader, MegaPrepared *out, MegaError *err);
void mega_prepared_free(MegaPrepared *input);
/* Runs it through a session of the model, to whose memory it counts: logits [classes]. */
int mega_prepared_run(const MegaPrepared *input, MegaSession *session, float *logits,
                      MegaError *err);
/* Behind a clip that is_cut: how long the recording is, in seconds. 0: a pipe, which may have no
 * end, or the rest cannot be read. Reads it to its end. */
double mega_input_reader_length(MegaInputReader *reader);
/* Seconds of the model's clips; 0: they have any length, or it does not take sound. */
double mega_input_reader_clip(const MegaInputReader *reader);

/* Of a model that takes text: the ids of one text, and its vocabulary (NULL with ids). */
int mega_input_reader_tokens(MegaInputReader *reader, const MegaRaw *text, MegaIds *out,
                             MegaError *err);
const MegaVocab *mega_input_reader_vocab(const MegaInputReader *reader);

#endif
