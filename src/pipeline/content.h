/*
 * content.h - what a file holds, by content first and name second: for choosing a model, and for
 * messages about inputs that a model does not take.
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
    const char *name;   /* "a FLAC file"; NULL: nothing that is known */
    const char *advice; /* what to do with a file that is no input; or NULL */
    bool unread;        /* sound or a picture of a format that is not read */
} MegaContent;

/* Looks at the first bytes, of pipes as well. media, which may be NULL, finds sound behind
 * something else. */
MegaContent mega_content_read(const char *path, const MegaMedia *media);
/* The kind alone; where the bytes do not tell, the name's ending does. */
MegaContentKind mega_content_of_path(const char *path, const MegaMedia *media);
/* The error for content that is `unread`. */
int mega_content_fail_unread(const MegaContent *content, const char *name, MegaError *err);

#endif
