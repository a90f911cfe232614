/*
 * content.h - recognises what a file holds, by its content and then by its name. This serves to
 * choose a model, and to explain why a model cannot take an input.
 */
#ifndef MEGA_CONTENT_H
#define MEGA_CONTENT_H

#include "src/mega.h"

typedef enum MegaContentKind {
    MEGA_CONTENT_UNKNOWN,
    MEGA_CONTENT_SOUND,
    MEGA_CONTENT_PICTURE,
    MEGA_CONTENT_TEXT,
} MegaContentKind;
#define MEGA_CONTENT_COUNT (MEGA_CONTENT_TEXT + 1)

typedef struct MegaContent {
    MegaContentKind kind;
    const char *name;   /* "a FLAC file"; NULL if the content is not recognised */
    const char *advice; /* what to do with a file that cannot be an input; or NULL */
    bool unread;        /* sound or a picture in a format that the library does not read */
} MegaContent;

/* Looks at the first bytes of a file or pipe. media, which may be NULL, also finds sound that
 * begins after other bytes. */
MegaContent mega_content_read(const char *path, const MegaMedia *media);
/* Returns only the kind. If the bytes do not tell, the ending of the name decides. */
MegaContentKind mega_content_of_path(const char *path, const MegaMedia *media);
/* Returns the error for content that is `unread`. */
int mega_content_fail_unread(const MegaContent *content, const char *name, MegaError *err);

#endif
