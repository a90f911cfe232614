/*
 * lines.h - text files line by line, for translate and score, and lists of all kinds.
 */
#ifndef RUN_LINES_H
#define RUN_LINES_H

#include <stdio.h>

#include "mega.h"

/*
 * The next line of a file as a C string without its end, which is the delimiter and, before a line
 * feed, a carriage return; *size of it, which NULs in the line do not end. *text grows as needed;
 * free() it. name and number (from 1) serve the messages. 1: a line; 0: no more; < 0: an error,
 * which a line of more than MEGA_TEXT_MAX_SIZE bytes is, too.
 */
int read_line(char **text, size_t *capacity, size_t *size, int delimiter, FILE *file,
              const char *name, size_t number, MegaError *err);

/* Lines of several files, one after the other; "-" is standard input. */
typedef struct LineReader {
    char **paths; /* [count] */
    int count, next;
    FILE *file; /* the open one, or NULL */
    const char *name; /* of it, for messages */
    size_t number;    /* of the line in it, from 1 */
    char *text;       /* the line without its end; may hold NULs */
    size_t size, capacity;
} LineReader;

/* No paths: standard input. */
void line_reader_begin(LineReader *reader, char **paths, int count);
/* 1: *reader holds a line; 0: no more; < 0: an error. */
int line_reader_next(LineReader *reader, MegaError *err);
void line_reader_end(LineReader *reader);
/* How many lines the files have, for a progress bar; 0 when one of them cannot be read twice. */
size_t count_lines(char **paths, int count);

#endif
