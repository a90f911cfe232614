/*
 * utf8.c - see utf8.h.
 */
#include "src/base/utf8.h"

#include <string.h>

/* Returns the length of a character that begins with this byte, or 0 if no character does. */
static size_t length_of(uint8_t first)
{
    return first < 0x80                    ? 1
           : first < 0xc2 || first >= 0xf5 ? 0
           : first < 0xe0                  ? 2
           : first < 0xf0                  ? 3
                                           : 4;
}

size_t mega_utf8_decode(const void *text, size_t size, uint32_t *code)
{
    const uint8_t *at = text;
    const size_t length = size > 0 ? length_of(at[0]) : 0;
    if (length == 0 || length > size)
        return 0;
    uint32_t value = length == 1 ? at[0] : at[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3f);
    }
    /* refuse overlong forms, surrogates, and values above U+10FFFF */
    if ((length == 3 && (value < 0x800 || (value & ~0x7ffu) == 0xd800)) ||
        (length == 4 && (value < 0x10000 || value > 0x10ffff)))
        return 0;
    if (code)
        *code = value;
    return length;
}

size_t mega_utf8_encode(uint32_t code, void *out)
{
    static const uint8_t marker[] = {0, 0xc0, 0xe0, 0xf0};
    const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    uint8_t *bytes = out;
    bytes[0] = (uint8_t)(marker[more] | code >> 6 * more);
    for (int i = 1; i <= more; i++)
        bytes[i] = (uint8_t)(0x80 | (code >> 6 * (more - i) & 0x3f));
    return (size_t)more + 1;
}

bool mega_utf8_valid(const void *text, size_t size)
{
    const uint8_t *at = text;
    while (size) {
        size_t length = *at ? mega_utf8_decode(at, size, NULL) : 0;
        if (!length)
            return false;
        at += length;
        size -= length;
    }
    return true;
}

bool mega_utf8_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

void mega_utf8_hide_controls(char *text)
{
    char *to = text;
    for (size_t left = strlen(text), length; left > 0; left -= length, text += length) {
        uint32_t code = (uint8_t)*text;
        length = mega_utf8_decode(text, left, &code);
        const bool hidden = mega_utf8_is_control(code);
        length = length ? length : 1;
        if (hidden)
            *to++ = '?';
        else
            memmove(to, text, length);
        to += hidden ? 0 : length;
    }
    *to = '\0';
}

bool mega_utf8_is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || (code >= 28 && code <= 32) || code == 0x85 ||
           code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

/* Returns the length of the character at `text`, or 1 for a byte that belongs to none. *space tells
 * whether it is white space. */
static size_t measure_character(const char *text, size_t size, bool *space)
{
    uint32_t code = 0;
    const size_t length = mega_utf8_decode(text, size, &code);
    *space = length && mega_utf8_is_space(code);
    return length ? length : 1;
}

bool mega_utf8_next_word(const char **at, const char *end, const char **word, size_t *length)
{
    bool space = true;
    size_t size = 0;
    for (; *at < end && space; *at += space ? size : 0)
        size = measure_character(*at, (size_t)(end - *at), &space);
    *word = *at;
    while (*at < end && !space) {
        size = measure_character(*at, (size_t)(end - *at), &space);
        *at += space ? 0 : size;
    }
    *length = (size_t)(*at - *word);
    return *length > 0;
}

void mega_utf8_trim(const char **text, size_t *size)
{
    bool space = true;
    size_t length;
    while (*size > 0) {
        length = measure_character(*text, *size, &space);
        if (!space)
            break;
        *text += length;
        *size -= length;
    }
    while (*size > 0) {
        size_t begin = *size - 1;
        while (begin > 0 && *size - begin < 4 && ((uint8_t)(*text)[begin] & 0xc0) == 0x80)
            begin--;
        length = measure_character(*text + begin, *size - begin, &space);
        if (!space || begin + length != *size)
            break;
        *size = begin;
    }
}

char *mega_utf8_strip(char *text)
{
    const char *begin = text;
    size_t size = strlen(text);
    mega_utf8_trim(&begin, &size);
    text += begin - text;
    text[size] = '\0';
    return text;
}
