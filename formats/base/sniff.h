/*
 * sniff.h - what a file is that is not what was expected, from its first bytes.
 *
 * People give a web page, a git-LFS pointer or a recording where a model is wanted. Whoever meets
 * foreign bytes asks here and says in one sentence what they are and what to do.
 */
#ifndef MEGA_SNIFF_H
#define MEGA_SNIFF_H

#include <stdbool.h>
#include <stddef.h>

#define MEGA_SNIFF_SIZE 512 /* bytes that tell most kinds of files apart */

#define MEGA_MAGIC "\x89MEGA\n\r\n" /* a .mega file begins with these 8 bytes */

typedef enum MegaFileRole {
    MEGA_ROLE_OTHER,      /* advice says what to do */
    MEGA_ROLE_MODEL,      /* a .mega file */
    MEGA_ROLE_CHECKPOINT, /* a file for mega-convert */
    MEGA_ROLE_SOUND,      /* a recording of a format that audio.h reads */
    MEGA_ROLE_PICTURE,    /* an image; advice converts it if image.h does not read its format */
    MEGA_ROLE_UNREAD,     /* a recording or film of a format that is not read; advice converts it */
    MEGA_ROLE_INPUT,      /* an array */
    MEGA_ROLE_TEXT,       /* text or a web page; advice as for OTHER */
    MEGA_ROLE_UNKNOWN,    /* what and advice are NULL */
} MegaFileRole;

typedef struct MegaFileKind {
    MegaFileRole role;
    const char *what;   /* completes "this is ..." */
    const char *advice; /* NULL where there is none, or where only the caller knows better */
} MegaFileKind;

/* "UTF-16", "UTF-32" or, without a byte order mark, "UTF-16LE" and so on, if that is how a text is
 * encoded whose first bytes these are; else NULL. binary: any bytes may be meant, so that only what
 * has a mark as well as zeros is such a text. */
const char *mega_recognize_encoding(const void *bytes, size_t size, bool binary);

/* Whether a file that begins with these bytes is text in UTF-8 without control characters. The last
 * character may be cut if there are MEGA_SNIFF_SIZE bytes or more. */
bool mega_sniff_utf8(const void *bytes, size_t size);

/* Looks at the first MEGA_SNIFF_SIZE bytes at most. They may be a first line without its end. */
MegaFileKind mega_recognize(const void *bytes, size_t size);

#endif
