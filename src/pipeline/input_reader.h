/*
 * input_reader.h - the state of a MegaInputReader, for the files that read inputs and end them.
 */
#ifndef MEGA_INPUT_READER_H
#define MEGA_INPUT_READER_H

#include "formats/media/image.h"
#include "formats/media/pcm.h"
#include "formats/text/tokenizer.h"
#include "formats/text/vocab.h"
#include "src/pipeline/content.h"
#include "src/pipeline/input.h"
#include "src/pipeline/preprocess.h"
#include "src/pipeline/raw.h"

#define MEGA_INPUT_MAX_CLIP (1u << 26) /* samples of one clip: 70 minutes at 16 kHz */

struct MegaInputReader {
    const MegaModel *model;
    MegaContentKind kind; /* the kind of content that the model takes */
    bool ids, partial, scan;
    double rate; /* MegaSessionOptions.rate, never 0 */
    MegaAudioPreprocess audio;
    MegaImagePreprocess image;
    MegaImageOptions image_options;
    uint64_t left; /* bytes that the memory limit leaves besides the model; UINT64_MAX without a
                      limit */
    MegaTextPreprocess text;
    MegaVocab *vocab; /* NULL if texts hold token ids */
    MegaTokenizer *tokenizer; /* set if a tokenizer of the Hugging Face hub makes the tokens */
    const MegaMedia *media;
    MegaWarning warning;
    MegaPcm pcm;
    bool has_pcm;       /* files of sound have no header, and pcm is their format */
    size_t window, hop; /* in samples; hop 0: one clip per recording */

    /* These fields are about the current input. */
    MegaRaw raw[2]; /* pair models use both */
    int count_raw;  /* 0 if there is no current input */
    char *path[2];  /* copies of paths that raw points to */
    bool started;
    bool scanning;            /* this recording is longer than a clip, and is given in windows */
    MegaAudio *stream;        /* set if sound comes from a file */
    MegaResampler *resampler; /* set if sound comes from memory; `taken` bytes of it are read */
    size_t taken;
    uint64_t whole; /* samples that those in memory make at the model's rate */
    float *block;   /* [MEGA_PCM_BLOCK][channels] */
    bool ended;     /* the recording has ended */
    float *samples; /* they begin with sample number `base` of the recording */
    size_t count, capacity;
    uint64_t base;
};

/* Returns the name of the current input, for messages. */
static inline const char *mega_input_name(const MegaInputReader *reader)
{
    return mega_raw_name(&reader->raw[0]);
}

/* Ends the current input. */
void mega_input_end(MegaInputReader *reader);
/* Reads no more of samples that are in memory, which the program may free from now on. */
void mega_input_let_go(MegaInputReader *reader);
/* Makes the next clip of the current recording. Returns 1 with a clip in *out, 0 at the end, or a
 * negative error. */
int mega_input_next_clip(MegaInputReader *reader, MegaPrepared *out, MegaError *err);
/* Makes the current picture an input. Returns 1 with it in *out, or a negative error. */
int mega_input_next_image(MegaInputReader *reader, MegaPrepared *out, MegaError *err);
/* Gives the next samples of the current recording, ready for the model: at most `most`, fewer only
 * at its end, and then none. */
int mega_input_next_samples(MegaInputReader *reader, size_t most, float *out, size_t *count,
                            MegaError *err);

#endif
