/*
 * fuzz_request.c - fuzzes what mega-run serve does with a request before a model sees it: the
 * content type, the body and the fields.
 *
 * The first line of an input is the content type, the second one the query, the rest the body.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/run/serve/fields.h"
#include "tools/run/serve/request.h"

#define MAX_LINE 512

/* Copies a line and returns how many bytes it takes with its end. */
static size_t take_line(const uint8_t *data, size_t size, char out[MAX_LINE])
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    const size_t whole = end ? (size_t)(end - data) : size;
    size_t used = 0;
    for (size_t i = 0; i < whole && used + 1 < MAX_LINE; i++)
        if (data[i])
            out[used++] = (char)data[i];
    out[used] = '\0';
    return whole + (end != NULL);
}

/* Takes the fields in every way that a route may. */
static void take_fields(const json_t *fields)
{
    FieldText text = {0}, *texts = NULL;
    size_t count = 0;
    int number = 1;
    double real = 1;
    uint64_t seed;
    bool flag;
    json_t *value = NULL;
    MegaError err = {0};
    const Field table[] = {{"text", FIELD_TEXT, &text, 0, 0},
                           {"q", FIELD_VALUE, &value, 0, 0},
                           {"n", FIELD_INT, &number, 1, 9},
                           {"x", FIELD_REAL, &real, 0, 1},
                           {"seed", FIELD_SEED, &seed, 0, 0},
                           {"stream", FIELD_FLAG, &flag, 0, 0},
                           {0}};
    int code = fields_take(fields, table, &err);
    fuzz_check_error(code, err.text);
    if (number < 1 || number > 9 || !(real >= 0 && real <= 1))
        __builtin_trap();
    if (code)
        return;
    code = field_texts(value, "q", 100, &texts, &count, &err);
    fuzz_check_error(code, err.text);
    for (size_t i = 0; i < count && !code; i++)
        if (texts[i].data[texts[i].size] != '\0')
            __builtin_trap();
    free(texts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char type[MAX_LINE], query[MAX_LINE];
    Request request;
    MegaError err = {0};
    size_t at = take_line(data, size, type);
    at += take_line(data + at, size - at, query);
    const uint8_t *body = data + at;
    size -= at;
    int code = request_read(&request, type[0] ? type : NULL, body, size, &err);
    fuzz_check_error(code, err.text);
    if (!code && request.file &&
        (request.file < body || request.file_size > size ||
         request.file + request.file_size > body + size))
        __builtin_trap();
    const size_t equals = strcspn(query, "=");
    if (!code && query[0]) {
        code = request_add(&request, query, equals, query + equals + (query[equals] != '\0'),
                           strlen(query + equals) - (query[equals] != '\0'), &err);
        fuzz_check_error(code, err.text);
    }
    if (!code)
        take_fields(request.fields);
    request_free(&request);
    return 0;
}
