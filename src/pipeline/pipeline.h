/*
 * pipeline.h - what a pipeline owns; the public side is in mega.h.
 *
 *   classifiers          raw -> input.h -> session -> probabilities
 *   translators,         raw -> raw.h -> tokenizer -> session or decoder -> tokenizer -> text
 *   language models
 */
#ifndef MEGA_PIPELINE_H
#define MEGA_PIPELINE_H

#include "formats/text/tokenizer.h"
#include "src/encode/session.h"
#include "src/mega.h"
#include "src/model/model.h"
#include "src/pipeline/input.h"
#include "src/pipeline/raw.h"

struct MegaPipeline {
    const MegaModel *model;
    MegaTask task;
    MegaSession *session;
    MegaInputReader *reader;    /* of a classifier */
    MegaCodec *source, *target; /* source: of a translator; both NULL without dictionaries */
    MegaDecoder *scorer;        /* made when it is first needed */
    MegaWarning warning;
    bool ids, pre_tokenized;
    int chunk;
    MegaRaw current;    /* what mega_pipeline_begin was given first, for messages */
    char *current_path; /* a copy that it points to */
    double opening;     /* seconds that it took to open it */
};

/* An error unless the model does that; what: "translate". */
int mega_pipeline_need_task(const MegaPipeline *pipeline, MegaTask task, const char *what,
                            MegaError *err);
/* Ids of a text of one side, with </s> behind them when asked for, if there are any or it is the
 * target's; with MegaPipelineOptions.ids the numbers that stand there and nothing else, and name
 * is what messages about them call the text. */
int mega_pipeline_encode(const MegaPipeline *pipeline, MegaSide side, const char *name,
                         const char *text, size_t size, bool eos, MegaIds *out, MegaError *err);
/* A raw input as text for one side; what: "a text". Free *out also after an error. */
int mega_pipeline_read_text(const MegaPipeline *pipeline, MegaSide side, const MegaRaw *raw,
                            const char *what, MegaBuffer *out, MegaError *err);
/* Ids of a prompt, with </s> before them. */
int mega_pipeline_encode_prompt(const MegaPipeline *pipeline, const MegaRaw *prompt,
                                MegaIds *out, MegaError *err);

/* Hands a buffer's bytes over, with a NUL behind them; the buffer is empty afterwards. */
int mega_text_take(MegaText *out, MegaBuffer *buffer, MegaError *err);

#endif
