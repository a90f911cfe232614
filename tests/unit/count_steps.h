/*
 * count_steps.h - is included before anything else in those files of formats/ whose work
 * test_growth counts. PCRE2 is called through functions that count what its matches look at. The
 * compiler counts the functions of the files themselves (-finstrument-functions).
 */
#ifndef MEGA_COUNT_STEPS_H
#define MEGA_COUNT_STEPS_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

pcre2_code *counted_compile(PCRE2_SPTR pattern, PCRE2_SIZE length, uint32_t options, int *number,
                            PCRE2_SIZE *offset, pcre2_compile_context *context);
int counted_match(const pcre2_code *code, PCRE2_SPTR subject, PCRE2_SIZE length, PCRE2_SIZE start,
                  uint32_t options, pcre2_match_data *match, pcre2_match_context *context);
int counted_substitute(const pcre2_code *code, PCRE2_SPTR subject, PCRE2_SIZE length,
                       PCRE2_SIZE start, uint32_t options, pcre2_match_data *match,
                       pcre2_match_context *context, PCRE2_SPTR replacement, PCRE2_SIZE size,
                       PCRE2_UCHAR *out, PCRE2_SIZE *out_length);

#ifndef COUNT_STEPS_ITSELF
#undef pcre2_compile
#undef pcre2_match
#undef pcre2_substitute
#define pcre2_compile counted_compile
#define pcre2_match counted_match
#define pcre2_substitute counted_substitute
#endif

#endif
