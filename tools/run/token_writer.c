/*
 * token_writer.c - see token_writer.h.
 */
#include "tools/run/token_writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "src/base/utf8.h"
#include "tools/common/json.h"

#define BUFFER 65536
#define DIGITS 10 /* most digits of a number */

int token_writer_new(TokenWriter *writer, FILE *out, const MegaCodec *codec, bool json,
                     MegaError *err)
{
    const int vocab = mega_vocab_count(mega_codec_vocab(codec));
    *writer = (TokenWriter){.out = out, .codec = codec, .json = json};
    writer->symbols = calloc((size_t)vocab + 1, sizeof *writer->symbols);
    writer->buffer = malloc(BUFFER);
    return writer->symbols && writer->buffer
               ? 0
               : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens of a text");
}

void token_writer_free(TokenWriter *writer)
{
    const int vocab = writer->symbols ? mega_vocab_count(mega_codec_vocab(writer->codec)) : 0;
    for (int id = 0; id < vocab; id++)
        free(writer->symbols[id].text);
    free(writer->symbols);
    free(writer->buffer);
    *writer = (TokenWriter){0};
}

void token_writer_flush(TokenWriter *writer)
{
    fwrite(writer->buffer, 1, writer->filled, writer->out);
    writer->filled = 0;
}

static void put_bytes(TokenWriter *writer, const char *bytes, size_t size)
{
    if (size > BUFFER - writer->filled)
        token_writer_flush(writer);
    if (size > BUFFER) {
        fwrite(bytes, 1, size, writer->out);
        return;
    }
    memcpy(writer->buffer + writer->filled, bytes, size);
    writer->filled += size;
}

void token_writer_text(TokenWriter *writer, const char *text)
{
    put_bytes(writer, text, strlen(text));
}

/* Writes a number, and returns what is behind it. */
static char *write_number(char *at, uint32_t number)
{
    char digits[DIGITS];
    size_t first = DIGITS;
    do
        digits[--first] = (char)('0' + number % 10);
    while (number /= 10);
    while (first < DIGITS)
        *at++ = digits[first++];
    return at;
}

static void put_number(TokenWriter *writer, uint32_t number)
{
    char digits[DIGITS];
    put_bytes(writer, digits, (size_t)(write_number(digits, number) - digits));
}

static char *plain_symbol(const char *symbol)
{
    MegaBuffer out = {0};
    char escape[16];
    uint32_t code;
    for (size_t left = strlen(symbol), length; left > 0; symbol += length, left -= length) {
        length = mega_utf8_decode(symbol, left, &code);
        const bool control = length && mega_utf8_is_control(code);
        length = length ? length : 1;
        if (control)
            mega_put_bytes(&out, escape,
                           (size_t)snprintf(escape, sizeof escape, "\\u%04" PRIx32, code));
        else
            mega_put_bytes(&out, symbol, length);
    }
    mega_put_u8(&out, '\0');
    if (!out.failed)
        return (char *)out.data;
    mega_buffer_free(&out);
    return NULL;
}

static char *json_symbol(const char *symbol)
{
    json_t *string = json_text(symbol);
    char *text = json_dumps(string, JSON_ENCODE_ANY);
    json_decref(string);
    return text;
}

static void put_symbol(TokenWriter *writer, int32_t id)
{
    const char *text = mega_vocab_symbol(mega_codec_vocab(writer->codec), id);
    TokenSymbol *symbol = text ? &writer->symbols[id] : NULL;
    if (symbol && !symbol->text) {
        symbol->text = writer->json ? json_symbol(text) : plain_symbol(text);
        symbol->size = symbol->text ? strlen(symbol->text) : 0;
    }
    if (symbol && symbol->text) {
        put_bytes(writer, symbol->text, symbol->size);
        return;
    }
    writer->failed |= symbol != NULL;
    if (writer->json)
        token_writer_text(writer, "\"\"");
}

void token_writer_lines(TokenWriter *writer, const MegaTokens *tokens)
{
    const bool places = mega_codec_has_places(writer->codec);
    for (size_t i = 0; i < tokens->count; i++) {
        const MegaToken *token = &tokens->data[i];
        char numbers[2 * DIGITS + 3], *at = write_number(numbers, (uint32_t)token->id);
        *at++ = '\t';
        put_bytes(writer, numbers, (size_t)(at - numbers));
        put_symbol(writer, token->id);
        at = numbers;
        if (places) {
            *at++ = '\t';
            at = write_number(at, token->start);
            *at++ = '\t';
            at = write_number(at, token->end);
        }
        *at++ = '\n';
        put_bytes(writer, numbers, (size_t)(at - numbers));
    }
}

/* Prints the places of all tokens, as pairs. */
static void put_places(TokenWriter *writer, const MegaTokens *tokens)
{
    token_writer_text(writer, "[");
    for (size_t i = 0; i < tokens->count; i++) {
        char pair[2 * DIGITS + 4], *at = pair;
        if (i)
            *at++ = ',';
        *at++ = '[';
        at = write_number(at, tokens->data[i].start);
        *at++ = ',';
        at = write_number(at, tokens->data[i].end);
        *at++ = ']';
        put_bytes(writer, pair, (size_t)(at - pair));
    }
    token_writer_text(writer, "]");
}

void token_writer_json(TokenWriter *writer, const MegaTokens *tokens, size_t window,
                       size_t windows)
{
    token_writer_text(writer, "{\"input_ids\":[");
    for (size_t i = 0; i < tokens->count; i++) {
        token_writer_text(writer, i ? "," : "");
        put_number(writer, (uint32_t)tokens->data[i].id);
    }
    token_writer_text(writer, "],\"tokens\":[");
    for (size_t i = 0; i < tokens->count; i++) {
        token_writer_text(writer, i ? "," : "");
        put_symbol(writer, tokens->data[i].id);
    }
    token_writer_text(writer, "],\"offset_mapping\":");
    if (mega_codec_has_places(writer->codec))
        put_places(writer, tokens);
    else
        token_writer_text(writer, "null");
    if (mega_codec_has_types(writer->codec)) {
        token_writer_text(writer, ",\"token_type_ids\":[");
        for (size_t i = 0; i < tokens->count; i++) {
            token_writer_text(writer, i ? "," : "");
            put_number(writer, tokens->data[i].type);
        }
        token_writer_text(writer, "]");
    }
    if (windows > 1) {
        token_writer_text(writer, ",\"window\":");
        put_number(writer, (uint32_t)window);
    }
    token_writer_text(writer, "}");
}
