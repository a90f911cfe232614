/*
 * classify.h - the fields of POST /v1/classify, which sound that streams shares with files.
 */
#ifndef MEGA_SERVE_CLASSIFY_H
#define MEGA_SERVE_CLASSIFY_H

#include "tools/run/events.h"
#include "tools/run/options.h"
#include "tools/run/serve/fields.h"
#include "tools/run/serve/models.h"

#define CLASSIFY_SMOOTH 3 /* windows that are averaged for events */

typedef struct ClassifyFields {
    FieldText model, ignore;
    MegaPipelineOptions pipeline; /* window, hop, partial, keep_orientation */
    double threshold;             /* 0: windows, not events */
    int top, smooth;              /* 0 stands for the default */
    bool stream;
} ClassifyFields;

/* Takes all fields. *pcm is changed if the field "raw" was given. */
int classify_fields_take(ClassifyFields *out, const json_t *fields, FieldText *text,
                         FieldText *pair, MegaPcm *pcm, MegaError *err);
/* Makes the events of a recording, for fields that have a threshold. */
int classify_events_new(Events **out, const MegaModel *model, const ClassifyFields *fields,
                        MegaError *err);
/* Returns whether a model classifies inputs of the kind *context. */
bool classifies(const ServedModel *model, const void *context);

#endif
