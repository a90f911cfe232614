/*
 * input.h - turns a raw input into the input of a model: decoding (MegaMedia), then preprocess.h.
 *
 * A MegaInputReader is made once per model and thread. Each input then gives one clip or, for sound
 * with a window, several. Messages name the input, what was found in it and what the model expects.
 *
 * Sound without a window gives one clip per recording. Where the model has a clip length
 * (audio.length), a shorter recording is padded with zero samples before normalisation. If a
 * recording is longer by more than a hundredth, its first clip is given and marked `is_cut`. With
 * `scan` the whole recording is given, with a window of one clip and a hop of a quarter of that.
 *
 * Sound with a window gives one clip every hop, from the start of the recording until a window
 * reaches its end. The last window may be partial: it is padded with zero samples to the window and
 * to the model's length, while its `end` is that of the recording. A window longer than the model's
 * clips is an error. Memory holds one window, however long the recording is.
 *
 * Pair models read two inputs, or one text with a TAB between its two parts.
 */
#ifndef MEGA_INPUT_H
#define MEGA_INPUT_H

#include "formats/text/tokenizer.h"
#include "formats/text/vocab.h"
#include "src/mega.h"
#include "src/model/model.h"

/* Holds one input that is ready to be classified. `views` points into the owned buffers. */
typedef struct MegaPrepared {
    MegaInput views[2]; /* pair models use both */
    int count;
    double start, end; /* audio: seconds within the recording */
    bool is_cut;       /* this is the first clip of a longer recording, whose rest is not looked
                          at */
    bool scanned;      /* this is a window of a long recording, though the caller asked for no
                          windows */
    float *values;
    int32_t *tokens[2];
    int32_t *types;  /* of views[0] */
    uint64_t memory; /* bytes of this input and of the recording that its reader holds */
} MegaPrepared;

typedef struct MegaInputReader MegaInputReader;

int mega_input_reader_new(MegaInputReader **out, const MegaModel *model,
                          const MegaPipelineOptions *options, MegaError *err);
void mega_input_reader_free(MegaInputReader *reader);

/* Begins with an input; a pair model takes two. The data they point to must stay valid, but paths
 * are copied. */
int mega_input_reader_begin(MegaInputReader *reader, const MegaRaw *inputs, int count,
                            MegaError *err);
/* Begins with a file. second is the other file of a pair model, else NULL. */
int mega_input_reader_open(MegaInputReader *reader, const char *path, const char *second,
                           MegaError *err);
/* Makes the next clip. Returns 1 with a clip in *out, which mega_prepared_free frees, 0 at the end,
 * or a negative error, which ends the input. */
int mega_input_reader_next(MegaInputReader *reader, MegaPrepared *out, MegaError *err);
void mega_prepared_free(MegaPrepared *input);
/* Runs the input through a session of the model and counts its memory there. logits is
 * [classes]. */
int mega_prepared_run(const MegaPrepared *input, MegaSession *session, float *logits,
                      MegaError *err);
/* After a clip that is_cut: reads the recording to its end and returns its length in seconds, or 0
 * if it is a pipe, which may have no end, or if the rest cannot be read. */
double mega_input_reader_length(MegaInputReader *reader);
/* Returns the length of the model's clips in seconds, or 0 if they have any length or the model
 * does not take sound. */
double mega_input_reader_clip(const MegaInputReader *reader);
/* Returns the rate of the model's samples in Hz, or 0 if the model does not take sound. */
int mega_input_reader_rate(const MegaInputReader *reader);

/* These two are for models that take text: the token ids of one text, and the vocabulary (NULL with
 * MegaPipelineOptions.ids). */
int mega_input_reader_tokens(MegaInputReader *reader, const MegaRaw *text, MegaIds *out,
                             MegaError *err);
const MegaVocab *mega_input_reader_vocab(const MegaInputReader *reader);
/* Returns the tokenizer of a model of the Hugging Face hub, or NULL. */
const MegaTokenizer *mega_input_reader_tokenizer(const MegaInputReader *reader);

#endif
