/*
 * recordings.h - files that the tests of sound make, and how they read them.
 */
#ifndef MEGA_RECORDINGS_H
#define MEGA_RECORDINGS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/base/bytes.h"
#include "formats/media/audio.h"

/* A folder for a group of tests, and the name of the recording in it. */
extern char test_path[128];
int make_test_folder(void **state);
int remove_test_folder(void **state);

void write_file(const void *data, size_t size);
/* All of the recording's bytes; free with mega_buffer_free. */
MegaBuffer read_file(void);

/* Writes interleaved samples in a format of libsndfile. Integer formats take value * 32767 rounded,
 * which is libsndfile's way: encode_exact is for tests of exact values. */
void encode(int format, int rate, int channels, const float *samples, size_t frames);
void encode_exact(int format, int rate, int channels, const int16_t *samples, size_t frames);

/* Reads all of name in pieces of at most `step` samples; free() the result. */
int read_all(const char *name, const MegaAudioOptions *options, size_t step, float **out,
             size_t *count, MegaError *err);
float *read_good(const char *name, const MegaPcm *pcm, int rate, size_t step, size_t *count);
/* The recording must be refused with a message that has its path and a text. */
void assert_refused(const MegaPcm *pcm, int rate, int code, const char *text);

#endif
