/*
 * fuzz.h - what the fuzz targets share.
 *
 * A target fuzz_NAME.c defines LLVMFuzzerTestOneInput, the function that libFuzzer calls with
 * bytes that it made up; corpus/NAME holds the files it starts from and those that once broke
 * something. Linked with replay.c instead of libFuzzer a target runs over given files.
 */
#ifndef MEGA_FUZZ_H
#define MEGA_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A path under which the bytes can be opened, for readers that take only paths. It is the same
 * memory file each time; valid until the next call. NULL if the system has none. */
const char *fuzz_path(const uint8_t *data, size_t size);

/* Ends the process when a result is neither 0 nor a negative code with a sentence. */
void fuzz_check_error(int code, const char *text);

#endif
