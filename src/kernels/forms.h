/*
 * forms.h - the float weights of a model, converted once for all sessions to the form that the
 * products of a tier read.
 *
 * Only tiers with a tile unit have such a form, pairs of bf16 (amx_tmpl.h). Without it, every
 * product would split its weights anew, which takes about a third of the time of 120 rows. The
 * forms take as much memory as the panels would in float32, so they are made when the first session
 * of such a tier opens. They stay until the model is freed.
 */
#ifndef MEGA_FORMS_H
#define MEGA_FORMS_H

#include "src/kernels/kernels.h"
#include "src/mega.h"

typedef struct MegaForms MegaForms;

/* Makes an empty list of forms. Returns NULL if there is no memory. */
MegaForms *mega_forms_new(void);
void mega_forms_free(MegaForms *forms);

/* Adds a matrix of a model that is being opened to the list; its panels must stay where they are.
 * Quantized matrices are left out, since kernels read them as they are. */
void mega_forms_note(MegaForms *forms, const MegaPacked *weight);
/* Returns the bytes of the forms of all matrices. */
uint64_t mega_forms_bytes(const MegaForms *forms);
/* Makes the forms if they do not exist yet, by kernels->prepare, which must not be NULL. Any thread
 * may call it. Returns MEGA_ERR_MEMORY, after which products split the weights anew. */
int mega_forms_make(MegaForms *forms, const MegaKernels *kernels, MegaError *err);
/* Returns the form of the panels that begin at `panels`, which may lie inside a matrix, or NULL if
 * there is none. */
const void *mega_forms_find(const MegaForms *forms, const void *panels);

#endif
