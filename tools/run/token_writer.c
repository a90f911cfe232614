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
#define DIGITS NUMBER_DIGITS

/* ---- Numbers -------------------------------------------------------------------------------- */

static void set_place(TokenPlace *place, uint32_t value)
{
    place->value = value;
    place->first = DIGITS;
    do
        place->digits[--place->first] = (char)('0' + value % 10);
    while (value /= 10);
}

/* Adds 1 to 9 to a number. */
static void add_to_place(TokenPlace *place, uint32_t addend)
{
    int at = DIGITS - 1;
    place->value += addend;
    place->digits[at] = (char)(place->digits[at] + addend);
    while (place->digits[at] > '9') {
        place->digits[at] = (char)(place->digits[at] - 10);
        if (at == place->first)
            place->digits[--place->first] = '0';
        place->digits[--at]++;
    }
}

/* Writes a place, for which there is room for DIGITS bytes, and returns what is after it. */
static char *write_place(TokenPlace *last, char *at, uint32_t value)
{
    if (value > last->value && value - last->value < 10)
        add_to_place(last, value - last->value);
    else if (value != last->value)
        set_place(last, value);
    memcpy(at, last->digits + last->first, DIGITS);
    return at + DIGITS - last->first;
}

/* ---- The buffer ----------------------------------------------------------------------------- */

int token_writer_new(TokenWriter *writer, FILE *out, const MegaTokenizer *tokenizer, bool json,
                     MegaError *err)
{
    *writer = (TokenWriter){.out = out,
                            .tokenizer = tokenizer,
                            .json = json,
                            .vocab = mega_vocab_count(mega_tokenizer_vocab(tokenizer))};
    writer->symbols = calloc((size_t)writer->vocab + 1, sizeof *writer->symbols);
    writer->buffer = malloc(BUFFER);
    set_place(&writer->place, 0);
    return writer->symbols && writer->buffer
               ? 0
               : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the tokens of a text");
}

void token_writer_free(TokenWriter *writer)
{
    for (int id = 0; writer->symbols && id < writer->vocab; id++)
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

static void put_number(TokenWriter *writer, uint32_t number)
{
    TokenPlace place = {0};
    set_place(&place, number);
    put_bytes(writer, place.digits + place.first, (size_t)(DIGITS - place.first));
}

/* ---- Symbols -------------------------------------------------------------------------------- */

/* A short symbol is copied as SHORT bytes, whatever is after it, since that takes no call. */
#define SHORT 32

static void plain_symbol(int32_t id, const char *symbol, MegaBuffer *out)
{
    char escape[16];
    uint32_t code;
    mega_put_bytes(out, escape, (size_t)snprintf(escape, sizeof escape, "%" PRId32 "\t", id));
    for (size_t left = strlen(symbol), length; left > 0; symbol += length, left -= length) {
        length = mega_utf8_decode(symbol, left, &code);
        const bool control = length && mega_utf8_is_control(code);
        length = length ? length : 1;
        if (control)
            mega_put_bytes(out, escape,
                           (size_t)snprintf(escape, sizeof escape, "\\u%04" PRIx32, code));
        else
            mega_put_bytes(out, symbol, length);
    }
}

static void json_symbol(const char *symbol, MegaBuffer *out)
{
    json_t *string = json_text(symbol);
    char *text = json_dumps(string, JSON_ENCODE_ANY);
    out->failed |= !text;
    mega_put_bytes(out, text ? text : "", text ? strlen(text) : 0);
    free(text);
    json_decref(string);
}

/* Returns how a token is printed. text is NULL if the vocabulary has no such token, or if memory
 * runs out. */
static TokenSymbol symbol_of(TokenWriter *writer, int32_t id)
{
    if (id < 0 || id >= writer->vocab)
        return (TokenSymbol){0};
    TokenSymbol *symbol = &writer->symbols[id];
    if (symbol->text)
        return *symbol;
    const char *text = mega_vocab_symbol(mega_tokenizer_vocab(writer->tokenizer), id);
    MegaBuffer out = {0};
    if (writer->json)
        json_symbol(text, &out);
    else
        plain_symbol(id, text, &out);
    if (!out.failed && (symbol->text = calloc(1, out.size > SHORT ? out.size : SHORT))) {
        memcpy(symbol->text, out.data, out.size);
        symbol->size = out.size;
    }
    writer->failed |= !symbol->text;
    mega_buffer_free(&out);
    return *symbol;
}

static void put_symbol(TokenWriter *writer, int32_t id)
{
    const TokenSymbol symbol = symbol_of(writer, id);
    if (symbol.text && symbol.size <= SHORT && BUFFER - writer->filled >= SHORT) {
        memcpy(writer->buffer + writer->filled, symbol.text, SHORT);
        writer->filled += symbol.size;
    } else if (symbol.text) {
        put_bytes(writer, symbol.text, symbol.size);
    } else if (writer->json) {
        token_writer_text(writer, "\"\"");
    } else {
        put_number(writer, (uint32_t)id);
        token_writer_text(writer, "\t");
    }
}

/* ---- Tokens --------------------------------------------------------------------------------- */

#define PAIR (2 * DIGITS + 4) /* room for two places and what is around them */

/* Returns where PAIR bytes may be written. The caller adds how many these were to `filled`. */
static char *room_for_pair(TokenWriter *writer)
{
    if (BUFFER - writer->filled < PAIR)
        token_writer_flush(writer);
    return writer->buffer + writer->filled;
}

void token_writer_lines(TokenWriter *writer, const MegaTokens *tokens)
{
    const bool places = mega_tokenizer_has_places(writer->tokenizer);
    for (size_t i = 0; i < tokens->count; i++) {
        const MegaToken *token = &tokens->data[i];
        put_symbol(writer, token->id);
        char *begin = room_for_pair(writer), *at = begin;
        if (places) {
            *at++ = '\t';
            at = write_place(&writer->place, at, token->start);
            *at++ = '\t';
            at = write_place(&writer->place, at, token->end);
        }
        *at++ = '\n';
        writer->filled += (size_t)(at - begin);
    }
}

/* Prints the places of all tokens, as pairs. */
static void put_places(TokenWriter *writer, const MegaTokens *tokens)
{
    token_writer_text(writer, "[");
    for (size_t i = 0; i < tokens->count; i++) {
        char *begin = room_for_pair(writer), *at = begin;
        if (i)
            *at++ = ',';
        *at++ = '[';
        at = write_place(&writer->place, at, tokens->data[i].start);
        *at++ = ',';
        at = write_place(&writer->place, at, tokens->data[i].end);
        *at++ = ']';
        writer->filled += (size_t)(at - begin);
    }
    token_writer_text(writer, "]");
}

void token_writer_json(TokenWriter *writer, const MegaTokens *tokens, size_t window, size_t windows)
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
    if (mega_tokenizer_has_places(writer->tokenizer))
        put_places(writer, tokens);
    else
        token_writer_text(writer, "null");
    if (mega_tokenizer_has_types(writer->tokenizer)) {
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
