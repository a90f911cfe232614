/*
 * input_reader.h - the state of a reader of inputs, which input.c and input_sound.c share. Private
 * to these two.
 */
#ifndef MEGA_INPUT_READER_H
#define MEGA_INPUT_READER_H

#include "formats/media/image.h"
#include "formats/media/pcm.h"
#include "formats/text/vocab.h"
#include "src/pipeline/content.h"
#include "src/pipeline/input.h"
#include "src/pipeline/preprocess.h"
#include "src/pipeline/raw.h"

#define MEGA_INPUT_MAX_CLIP (1u << 26) /* samples of one clip: 70 minutes at 16 kHz */

struct MegaInputReader {
    const MegaModel *model;
    MegaContentKind kind; /* what the model is fed from */
    bool ids, partial, scan;
    MegaAudioFeatures audio;
    MegaImageFeatures image;
    MegaImageOptions image_options;
    uint64_t left; /* bytes that the limit of memory leaves beside the model; or UINT64_MAX */
    MegaTextFeatures text;
    MegaVocab *vocab; /* NULL with ids */
    const MegaMedia *media;
    MegaWarning warning;
    MegaPcm pcm;
    bool has_pcm;       /* files of sound are headerless */
    size_t window, hop; /* samples; hop 0: one clip per recording */

    /* The current input. */
    MegaRaw raw[2]; /* second one for pair models */
    int count_raw;  /* 0: there is none */
    char *path[2];  /* copies that raw points to */
    bool started;
    bool scanning;            /* this recording is a long one */
    MegaAudio *stream;        /* of a path, */
    MegaResampler *resampler; /* or of samples, of which so many bytes were given out */
    size_t taken;
    float *block;   /* [MEGA_PCM_BLOCK][channels] */
    bool ended;     /* the recording is */
    float *samples; /* from sample number `base` of the recording on */
    size_t count, capacity;
    uint64_t base;
};

/* Returns the name of the current input, for messages. */
static inline const char *mega_input_name(const MegaInputReader *reader)
{
    return mega_raw_name(&reader->raw[0]);
}

/* Makes the next clip of the current recording. Returns 1 with a clip in *out, 0 at the end, or a
 * negative error. */
int mega_input_next_clip(MegaInputReader *reader, MegaPrepared *out, MegaError *err);

#endif
