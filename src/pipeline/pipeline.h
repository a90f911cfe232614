/*
 * pipeline.h - the parts of a pipeline, and how data flow through them; mega.h has the public side.
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
#include "src/pipeline/listener.h"
#include "src/pipeline/raw.h"

struct MegaPipeline {
    const MegaModel *model;
    MegaTask task;
    MegaSession *session;
    MegaInputReader *reader;    /* set for tasks that take media */
    MegaListener *listener;     /* set if a causal model hears recordings once */
    MegaTokenizer *source, *target; /* source: translators only; both NULL without dictionaries */
    MegaDecoder *scorer;        /* made when it is first needed */
    int32_t first_token;        /* the token in front of the text that is being scored */
    MegaWarning warning;
    bool ids, pre_tokenized;
    int chunk;
    MegaRaw current;    /* the first input given to mega_pipeline_begin, for messages */
    char *current_path; /* a copy of its path, which it points to */
    double opening;     /* seconds that opening it took */
};

/* Returns an error unless the model has this task. `what` says in the message what was asked for,
 * such as "translate". */
int mega_pipeline_need_task(const MegaPipeline *pipeline, MegaTask task, const char *what,
                            MegaError *err);
/* Makes the token ids of a text of one side. With eos, </s> follows them, except after an empty
 * source. With MegaPipelineOptions.ids, the ids are the numbers in the text and nothing else.
 * Messages about these numbers call the text `name`. */
int mega_pipeline_encode(const MegaPipeline *pipeline, MegaSide side, const char *name,
                         const char *text, size_t size, bool eos, MegaIds *out, MegaError *err);
/* Reads a raw input as text of one side. Messages call it `what`, such as "a text". Free *out also
 * after an error. */
int mega_pipeline_read_text(const MegaPipeline *pipeline, MegaSide side, const MegaRaw *raw,
                            const char *what, MegaBuffer *out, MegaError *err);
/* Returns the tokenizer of a side, or NULL if there is none: a classifier of the original has only
 * a vocabulary. */
const MegaTokenizer *mega_pipeline_tokenizer(const MegaPipeline *pipeline, MegaSide side);
/* Makes the token ids of a prompt, with </s> before them. */
int mega_pipeline_encode_prompt(const MegaPipeline *pipeline, const MegaRaw *prompt,
                                MegaIds *out, MegaError *err);

/* Moves the bytes of a buffer to *out and appends a NUL; the buffer is empty afterwards. */
int mega_text_take(MegaText *out, MegaBuffer *buffer, MegaError *err);

#endif
