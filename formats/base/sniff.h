/*
 * sniff.h - recognises an unexpected file by its first bytes.
 *
 * People give a web page, a git-LFS pointer or a recording where a model is wanted. Code that meets
 * such bytes asks here, and says in one sentence what they are and what to do.
 */
#ifndef MEGA_SNIFF_H
#define MEGA_SNIFF_H

#include <stdbool.h>
#include <stddef.h>

#define MEGA_SNIFF_SIZE 512 /* bytes that tell most kinds of files apart */

#define MEGA_MAGIC "\x89MEGA\n\r\n" /* a .mega file begins with these 8 bytes */

typedef enum MegaFileRole {
    MEGA_ROLE_OTHER,      /* `advice` says what to do */
    MEGA_ROLE_MODEL,      /* a .mega file */
    MEGA_ROLE_CHECKPOINT, /* a file for mega-convert */
    MEGA_ROLE_SOUND,      /* a recording of a format that audio.h reads */
    MEGA_ROLE_PICTURE,    /* an image; `advice` says how to convert it if image.h does not read
                             its format */
    MEGA_ROLE_UNREAD,     /* a recording or film in a format that is not read; `advice` says how
                             to convert it */
    MEGA_ROLE_INPUT,      /* an array */
    MEGA_ROLE_TEXT,       /* text or a web page; `advice` is as for OTHER */
    MEGA_ROLE_UNKNOWN,    /* `what` and `advice` are NULL */
} MegaFileRole;

typedef struct MegaFileKind {
    MegaFileRole role;
    const char *what;   /* completes the sentence "this is ..." */
    const char *advice; /* NULL where there is none, or where only the caller can give it */
} MegaFileKind;

/* Recognises the encoding of a text by its first bytes: "UTF-16", "UTF-32" or, without a byte order
 * mark, "UTF-16LE" and so on; else NULL. With `binary` any bytes may be intended, so a text needs
 * both a byte order mark and zeros to be recognised. */
const char *mega_sniff_encoding(const void *bytes, size_t size, bool binary);

/* Returns whether a file that begins with these bytes is UTF-8 text without control characters. The
 * last character may be incomplete if there are MEGA_SNIFF_SIZE bytes or more. */
bool mega_sniff_utf8(const void *bytes, size_t size);

/* Returns the length of the pickle that begins a file of the format of PyTorch before 1.6, a magic
 * number in any protocol from 2 to 5; or 0 if these bytes begin no such file. */
size_t mega_sniff_torch_legacy(const void *bytes, size_t size);

/* Recognises a file by at most its first MEGA_SNIFF_SIZE bytes, which may be a first line without
 * its end. */
MegaFileKind mega_sniff(const void *bytes, size_t size);

#endif
