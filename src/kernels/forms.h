/*
 * forms.h - the float weights of a model in the form that the products of a tier read, made once
 * for all sessions.
 *
 * Only tiers with a tile unit have such a form, pairs of bf16 (amx_tmpl.h). Without it, every
 * product would split its weights anew, which takes about a third of the time of 120 rows. It takes
 * as much memory as the panels would in float32, so it is made when the first session of such a
 * tier opens. It stays until the model is freed.
 */
#ifndef MEGA_FORMS_H
#define MEGA_FORMS_H

#include "src/kernels/kernels.h"
#include "src/mega.h"

typedef struct MegaForms MegaForms;

/* Makes an empty list of forms. Returns NULL if there is no memory. */
MegaForms *mega_forms_new(void);
void mega_forms_free(MegaForms *forms);

/* Notes a matrix of a model that is being opened; its panels must stay where they are. Integers are
 * not noted, since kernels read them as they are. */
void mega_forms_note(MegaForms *forms, const MegaPacked *weight);
/* Returns the bytes of the forms of all matrices. */
uint64_t mega_forms_bytes(const MegaForms *forms);
/* Makes the forms if they do not exist yet. */
int mega_forms_make(MegaForms *forms, const MegaKernels *kernels, MegaError *err);
/* Returns the form of the panels that begin at `panels`, or NULL if there is none. */
const void *mega_forms_find(const MegaForms *forms, const void *panels);

#endif
