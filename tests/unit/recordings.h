/*
 * recordings.h - helpers of the tests of sound: they write recordings in a folder of their own and
 * read them back.
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

/* The path of the recording, in a folder that a group of tests makes and removes. */
extern char test_path[128];
int make_test_folder(void **state);
int remove_test_folder(void **state);

void write_file(const void *data, size_t size);
/* Returns all bytes of the recording; mega_buffer_free frees them. */
MegaBuffer read_file(void);

/* These write interleaved samples in a format of libsndfile. Integer formats take value * 32767,
 * rounded, as libsndfile does; encode_exact is for tests of exact values. */
void encode(int format, int rate, int channels, const float *samples, size_t frames);
void encode_exact(int format, int rate, int channels, const int16_t *samples, size_t frames);

/* Reads all of `name` in pieces of at most `step` samples. free() frees *out. */
int read_all(const char *name, const MegaAudioOptions *options, size_t step, float **out,
             size_t *count, MegaError *err);
float *read_good(const char *name, const MegaPcm *pcm, int rate, size_t step, size_t *count);
/* Expects the recording to be refused with this code and a message that has its path and `text`. */
void assert_refused(const MegaPcm *pcm, int rate, int code, const char *text);

#endif
