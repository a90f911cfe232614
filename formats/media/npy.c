/*
 * npy.c - reads and writes NumPy arrays; see npy.h.
 *
 * A file is a magic, a version, the length of a header, the header (a Python dictionary literal
 * with exactly the keys descr, fortran_order and shape) and the elements. The header is read by a
 * parser for just that literal; the data must be exactly as long as type and shape say.
 */
#include "formats/media/npy.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/atomic_file.h"
#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "formats/base/sniff.h"
#include "formats/tensor/dtype.h"
#include "src/base/checked.h"

#define MAX_HEADER 65536u
#define MAX_FILE (UINT64_C(4) << 30)
#define MIN_PREAMBLE 12 /* bytes with which every array begins */
#define STEP 4096       /* elements that are read or written at once */

#define BAD(format, ...) mega_fail(err, MEGA_ERR_FORMAT, "%s: " format, parser->name, ##__VA_ARGS__)
#define UNSUPPORTED(format, ...)                                                                   \
    mega_fail(err, MEGA_ERR_UNSUPPORTED, "%s: " format, parser->name, ##__VA_ARGS__)

/* The state while an array is read. */
typedef struct Parser {
    const char *name; /* name of the file, for messages */
    const char *at, *end;
    char kind; /* 'f', 'i', 'u' or 'b' */
    bool big_endian, fortran;
    uint32_t item_size;
    const uint8_t *data; /* the elements from number `first` on */
    uint64_t first;
} Parser;

/* ---- Header --------------------------------------------------------------------------------- */

static void skip_blanks(Parser *parser)
{
    while (parser->at < parser->end && strchr(" \t\r\n", *parser->at) && *parser->at)
        parser->at++;
}

static bool accept(Parser *parser, const char *token)
{
    size_t length = strlen(token);
    skip_blanks(parser);
    if ((size_t)(parser->end - parser->at) < length || memcmp(parser->at, token, length) != 0)
        return false;
    parser->at += length;
    return true;
}

/* Accepts a string in single or double quotes without escapes. Python 2 may have put a u in
 * front. */
static bool accept_string(Parser *parser, char *text, size_t size)
{
    skip_blanks(parser);
    if (parser->end - parser->at > 1 && *parser->at == 'u')
        parser->at++;
    if (parser->at == parser->end || (*parser->at != '\'' && *parser->at != '"'))
        return false;
    char quote = *parser->at++;
    const char *close = memchr(parser->at, quote, (size_t)(parser->end - parser->at));
    if (!close || (size_t)(close - parser->at) >= size ||
        memchr(parser->at, '\\', (size_t)(close - parser->at)))
        return false;
    memcpy(text, parser->at, (size_t)(close - parser->at));
    text[close - parser->at] = '\0';
    parser->at = close + 1;
    return true;
}

static int parse_descr(Parser *parser, MegaNpy *array, MegaError *err)
{
    char text[32];
    if (!accept_string(parser, text, sizeof text))
        return UNSUPPORTED("its elements are records or have a type that is not a simple string; "
                           "expected numbers");
    const char *code = text;
    char order = '|';
    if (strchr("<>|=", *code) && *code)
        order = *code++;
    static const char *const types[] = {"f2", "f4", "f8", "i1", "i2", "i4",
                                        "i8", "u1", "u2", "u4", "u8", "b1"};
    size_t i = 0;
    while (i < sizeof types / sizeof types[0] && strcmp(code, types[i]) != 0)
        i++;
    if (i == sizeof types / sizeof types[0])
        return UNSUPPORTED("its elements have type '%s'; expected f2, f4, f8, i1 to i8, u1 to u8 "
                           "or b1",
                           text);
    parser->kind = code[0];
    parser->item_size = (uint32_t)(code[1] - '0');
    parser->big_endian = order == '>';
    if (order == '|' && parser->item_size > 1)
        return BAD("type '%s' does not tell its byte order", text);
    array->type = parser->kind == 'f' ? MEGA_NPY_F32 : MEGA_NPY_I32;
    return 0;
}

static int parse_shape(Parser *parser, MegaNpy *array, MegaError *err)
{
    array->elements = 1;
    if (!accept(parser, "("))
        return BAD("its shape is not a tuple");
    bool comma = true;
    while (!accept(parser, ")")) {
        uint64_t value = 0;
        if (!comma || parser->at == parser->end || *parser->at < '0' || *parser->at > '9')
            return BAD("its shape is not a tuple of whole numbers");
        for (; parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9'; parser->at++)
            if (!mega_mul(value, 10, &value) ||
                !mega_add(value, (uint64_t)(*parser->at - '0'), &value))
                return BAD("a dimension overflows");
        if (parser->at < parser->end && *parser->at == 'L') /* Python 2 wrote longs: (5L,) */
            parser->at++;
        if (value == 0)
            return BAD("dimension %d is zero: the array is empty", array->rank);
        if (array->rank == MEGA_NPY_MAX_RANK)
            return mega_fail(err, MEGA_ERR_LIMIT, "%s: it has more than %d dimensions",
                             parser->name, MEGA_NPY_MAX_RANK);
        if (!mega_mul(array->elements, value, &array->elements))
            return BAD("its number of elements overflows");
        array->shape[array->rank++] = value;
        comma = accept(parser, ",");
    }
    return array->rank == 1 && !comma ? BAD("its shape is not a tuple") : 0;
}

static int parse_header(Parser *parser, MegaNpy *array, MegaError *err)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    bool seen[3] = {false}, comma = true;
    if (!accept(parser, "{"))
        return BAD("its header is not a dictionary");
    while (!accept(parser, "}")) {
        char key[32];
        int i = 0, code = 0;
        if (!comma || !accept_string(parser, key, sizeof key) || !accept(parser, ":"))
            return BAD("its header is not a dictionary");
        while (i < 3 && strcmp(key, keys[i]) != 0)
            i++;
        if (i == 3 || seen[i])
            return BAD("its header has %s key '%s'", i == 3 ? "an unknown" : "twice the", key);
        seen[i] = true;
        if (i == 0)
            code = parse_descr(parser, array, err);
        else if (i == 2)
            code = parse_shape(parser, array, err);
        else if (accept(parser, "True"))
            parser->fortran = true;
        else if (!accept(parser, "False"))
            code = BAD("its fortran_order is neither True nor False");
        if (code)
            return code;
        comma = accept(parser, ",");
    }
    for (int i = 0; i < 3; i++)
        if (!seen[i])
            return BAD("its header lacks the key '%s'", keys[i]);
    skip_blanks(parser);
    return parser->at == parser->end ? 0 : BAD("something follows the dictionary of its header");
}

static int fail_kind(const Parser *parser, const void *bytes, size_t size, MegaError *err)
{
    const char *what = mega_sniff(bytes, size).what;
    if (what)
        return BAD("this is %s; expected a NumPy array, as numpy.save writes it", what);
    return BAD("this is not a NumPy array: it does not begin with the bytes \\x93NUMPY; save one "
               "with numpy.save");
}

/* Returns how many bytes stand before the elements, as the first MIN_PREAMBLE bytes say, or 0 if
 * these do not begin an array. */
static size_t preamble_size(const uint8_t *bytes, size_t size)
{
    if (size < MIN_PREAMBLE || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return 0;
    const size_t header = bytes[6] == 1 ? mega_load_u16(bytes + 8) : mega_load_u32(bytes + 8);
    return header > MAX_HEADER ? 0 : (bytes[6] == 1 ? 10 : 12) + header;
}

/* Reads magic, version and header from the `size` bytes at which `reader` stands. */
static int parse_preamble(Parser *parser, MegaNpy *array, MegaReader *reader, const void *bytes,
                          size_t size, MegaError *err)
{
    const uint8_t *magic = mega_get_bytes(reader, 6);
    if (size == 0)
        return BAD("the file is empty; expected a NumPy array (.npy)");
    if (!magic || memcmp(magic, "\x93NUMPY", 6) != 0)
        return fail_kind(parser, bytes, size, err);
    int major = mega_get_u8(reader), minor = mega_get_u8(reader);
    if (!reader->failed && (major < 1 || major > 3 || minor != 0))
        return UNSUPPORTED("version %d.%d of the format; expected 1.0 to 3.0", major, minor);
    uint32_t length = major == 1 ? mega_get_u16(reader) : mega_get_u32(reader);
    if (length > MAX_HEADER)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s: a header of %" PRIu32 " bytes exceeds the limit"
                         " of %u",
                         parser->name, length, MAX_HEADER);
    parser->at = (const char *)mega_get_bytes(reader, length);
    if (!parser->at)
        return BAD("the file is truncated within its header; it has %zu bytes", size);
    parser->end = parser->at + length;
    return parse_header(parser, array, err);
}

/* Reads all but the elements, and checks that the data are exactly these. */
static int parse_file(Parser *parser, MegaNpy *array, const void *bytes, size_t size,
                      MegaError *err)
{
    MegaReader reader = mega_reader(bytes, size);
    int code = parse_preamble(parser, array, &reader, bytes, size, err);
    if (code)
        return code;
    uint64_t expected;
    if (!mega_mul(array->elements, parser->item_size, &expected))
        return BAD("its size overflows");
    if (expected != mega_reader_left(&reader))
        return BAD("%zu bytes of data, but shape and type ask for %" PRIu64 "; the file is %s",
                   mega_reader_left(&reader), expected,
                   expected > mega_reader_left(&reader) ? "truncated" : "damaged");
    parser->data = mega_get_bytes(&reader, expected);
    return 0;
}

/* ---- Elements ------------------------------------------------------------------------------- */

static void load_item(const Parser *parser, uint64_t index, uint8_t item[8])
{
    const uint8_t *at = parser->data + (index - parser->first) * parser->item_size;
    for (uint32_t i = 0; i < parser->item_size; i++)
        item[i] = at[parser->big_endian ? parser->item_size - 1 - i : i];
}

static void convert_float(const Parser *parser, uint64_t index, float *dst)
{
    uint8_t item[8] = {0};
    load_item(parser, index, item);
    mega_dtype_to_f32(parser->item_size == 2   ? MEGA_F16
                      : parser->item_size == 4 ? MEGA_F32
                                               : MEGA_F64,
                      item, 1, dst);
}

static int convert_integer(const Parser *parser, uint64_t index, int32_t *dst, MegaError *err)
{
    uint8_t item[8] = {0};
    load_item(parser, index, item);
    uint64_t bits = mega_load_u64(item);
    bool is_signed = parser->kind == 'i';
    if (is_signed && parser->item_size < 8 && bits >> (8 * parser->item_size - 1))
        bits |= UINT64_MAX << (8 * parser->item_size);
    int64_t value = (int64_t)bits;
    if (value > INT32_MAX || value < INT32_MIN || (!is_signed && value < 0)) {
        if (is_signed)
            return BAD("element %" PRIu64 " is %" PRId64 ", which does not fit into 32 bits", index,
                       value);
        return BAD("element %" PRIu64 " is %" PRIu64 ", which does not fit into 32 bits", index,
                   bits);
    }
    *dst = (int32_t)value;
    return 0;
}

/* Advances `position` by one element in C order and returns the index of that element in the
 * file. */
static uint64_t next_place(const Parser *parser, const MegaNpy *array, uint64_t *position,
                           const uint64_t *stride, uint64_t place)
{
    if (!parser->fortran)
        return place + 1;
    for (int i = array->rank - 1; i >= 0; i--) {
        place += stride[i];
        if (++position[i] < array->shape[i])
            break;
        place -= stride[i] * array->shape[i];
        position[i] = 0;
    }
    return place;
}

/* Checks that the elements and the file itself, which has `size` bytes, fit in the limit. */
static int check_memory(const Parser *parser, const MegaNpy *array, uint64_t size,
                        uint64_t max_memory, MegaError *err)
{
    uint64_t needed;
    if (!mega_mul(array->elements, 4, &needed) || !mega_add(needed, size, &needed))
        return BAD("its size overflows");
    if (needed <= max_memory)
        return 0;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "%s: reading %" PRIu64 " elements needs %.1f MB of memory; the limit leaves "
                     "%.1f MB",
                     parser->name, array->elements, (double)needed / 1e6, (double)max_memory / 1e6);
}

static int convert(const Parser *parser, MegaNpy *array, MegaError *err)
{
    uint64_t position[MEGA_NPY_MAX_RANK] = {0}, stride[MEGA_NPY_MAX_RANK] = {0}, size, place = 0;
    for (int i = 0; i < array->rank; i++)
        stride[i] = i ? stride[i - 1] * array->shape[i - 1] : 1;
    void *memory = NULL;
    if (mega_mul(array->elements, 4, &size) && size <= SIZE_MAX)
        memory = malloc((size_t)size);
    if (!memory)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the %" PRIu64 " elements of %s",
                         array->elements, parser->name);
    if (array->type == MEGA_NPY_F32)
        array->f32 = memory;
    else
        array->i32 = memory;
    for (uint64_t i = 0; i < array->elements; i++) {
        int code = 0;
        if (array->f32)
            convert_float(parser, place, &array->f32[i]);
        else
            code = convert_integer(parser, place, &array->i32[i], err);
        if (code)
            return code;
        place = next_place(parser, array, position, stride, place);
    }
    return 0;
}

static int parse(MegaNpy *out, const void *bytes, size_t size, const char *name,
                 uint64_t max_memory, MegaError *err)
{
    Parser parser = {.name = name};
    *out = (MegaNpy){0};
    int code = parse_file(&parser, out, bytes, size, err);
    if (!code)
        code = check_memory(&parser, out, size, max_memory, err);
    if (!code)
        code = convert(&parser, out, err);
    if (code)
        mega_npy_free(out);
    return code;
}

int mega_npy_parse(MegaNpy *out, const void *bytes, size_t size, const char *name, MegaError *err)
{
    return parse(out, bytes, size, name, UINT64_MAX, err);
}

int mega_npy_read_within(MegaNpy *out, const char *path, uint64_t max_memory, MegaError *err)
{
    const bool is_limited = max_memory < MAX_FILE;
    MegaBuffer buffer = {0};
    *out = (MegaNpy){0};
    int code = mega_source_read(&buffer, path, is_limited ? "memory" : "an array",
                                is_limited ? max_memory : MAX_FILE, err);
    if (!code)
        code = parse(out, buffer.data, buffer.size, mega_source_name(path), max_memory, err);
    mega_buffer_free(&buffer);
    return code;
}

int mega_npy_read(MegaNpy *out, const char *path, MegaError *err)
{
    return mega_npy_read_within(out, path, UINT64_MAX, err);
}

void mega_npy_free(MegaNpy *array)
{
    if (!array)
        return;
    free(array->f32);
    free(array->i32);
    *array = (MegaNpy){0};
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Writes to `output`, or directly to standard output if it is NULL. */
static int write_bytes(MegaAtomicFile *output, const uint8_t *data, size_t size, MegaError *err)
{
    if (output)
        return mega_atomic_file_write(output, data, size, err);
    while (size) {
        ssize_t written = write(STDOUT_FILENO, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return mega_fail(err, MEGA_ERR_IO, "cannot write to standard output: %s",
                             strerror(errno));
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

/* Builds the preamble with the header, padded so that the data begin at a multiple of 64 bytes. */
static size_t build_preamble(uint8_t preamble[512], int rank, const uint64_t *shape)
{
    char *text = (char *)preamble;
    int length = 10 + snprintf(text + 10, 256,
                               "{'descr': '<f4', 'fortran_order': False, "
                               "'shape': (");
    for (int i = 0; i < rank; i++)
        length +=
            snprintf(text + length, 32, i + 1 < rank ? "%" PRIu64 ", " : "%" PRIu64, shape[i]);
    length += snprintf(text + length, 32, "%s), }", rank == 1 ? "," : "");
    while ((length + 1) % 64)
        text[length++] = ' ';
    text[length++] = '\n';
    memcpy(preamble, "\x93NUMPY\1\0", 8);
    mega_store_u16(preamble + 8, (uint16_t)(length - 10));
    return (size_t)length;
}

struct MegaNpyOutput {
    MegaAtomicFile *file; /* NULL: standard output */
    uint64_t left;    /* number of elements that are still to be written */
};

int mega_npy_create(MegaNpyOutput **out, const char *path, int rank, const uint64_t *shape,
                    MegaError *err)
{
    uint8_t preamble[512];
    uint64_t elements = 1;
    *out = NULL;
    if (rank < 0 || rank > MEGA_NPY_MAX_RANK)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "an array of %d dimensions; expected 0 to %d",
                         rank, MEGA_NPY_MAX_RANK);
    for (int i = 0; i < rank; i++)
        if (!mega_mul(elements, shape[i], &elements))
            return mega_fail(err, MEGA_ERR_ARGUMENT, "the number of elements overflows");
    MegaNpyOutput *output = calloc(1, sizeof *output);
    if (!output)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for writing %s", path);
    output->left = elements;
    int code = strcmp(path, "-") == 0 ? 0 : mega_atomic_file_open(&output->file, path, err);
    if (!code)
        code = write_bytes(output->file, preamble, build_preamble(preamble, rank, shape), err);
    if (code) {
        mega_npy_discard(output);
        return code;
    }
    *out = output;
    return 0;
}

int mega_npy_append(MegaNpyOutput *output, const float *data, size_t count, MegaError *err)
{
    uint8_t block[STEP * 4];
    int code = 0;
    if (count > output->left)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "an array has more elements than its shape says");
    output->left -= count;
    for (size_t done = 0; !code && done < count; done += STEP) {
        const size_t step = count - done < STEP ? count - done : STEP;
        mega_dtype_from_f32(MEGA_F32, data + done, step, block);
        code = write_bytes(output->file, block, step * 4, err);
    }
    return code;
}

int mega_npy_commit(MegaNpyOutput *output, MegaError *err)
{
    if (output->left > 0)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "an array lacks %" PRIu64 " of its elements",
                         output->left);
    return output->file ? mega_atomic_file_commit(output->file, err) : 0;
}

void mega_npy_discard(MegaNpyOutput *output)
{
    if (!output)
        return;
    mega_atomic_file_free(output->file);
    free(output);
}

int mega_npy_write(const char *path, const float *data, int rank, const uint64_t *shape,
                   MegaError *err)
{
    MegaNpyOutput *output;
    int code = mega_npy_create(&output, path, rank, shape, err);
    if (code)
        return code;
    code = mega_npy_append(output, data, (size_t)output->left, err);
    if (!code)
        code = mega_npy_commit(output, err);
    mega_npy_discard(output);
    return code;
}

/* ---- Reading piece by piece ------------------------------------------------------------------ */

struct MegaNpyInput {
    Parser parser;
    MegaNpy header;
    int fd;
    uint64_t done; /* number of elements that were read */
    uint8_t block[STEP * 8];
};

/* Reads until `size` bytes are there or the input ends. */
static int read_bytes(int fd, const char *name, void *out, size_t size, size_t *got,
                      MegaError *err)
{
    for (*got = 0; *got < size;) {
        const ssize_t count = read(fd, (uint8_t *)out + *got, size - *got);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", name, strerror(errno));
        if (count == 0)
            break;
        *got += (size_t)count;
    }
    return 0;
}

/* Reads the magic, the version and the header. A file that is not an array is recognised by its
 * first bytes. */
static int read_preamble(MegaNpyInput *input, MegaError *err)
{
    Parser *parser = &input->parser;
    uint8_t *bytes = malloc(MIN_PREAMBLE + MAX_HEADER);
    size_t size = 0, more = 0;
    if (!bytes)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", parser->name);
    int code = read_bytes(input->fd, parser->name, bytes, MIN_PREAMBLE, &size, err);
    const size_t whole = preamble_size(bytes, size);
    if (!code && size == MIN_PREAMBLE)
        code = read_bytes(input->fd, parser->name, bytes + size,
                          whole ? whole - mega_min_size(whole, size) : 512, &more, err);
    MegaReader reader = mega_reader(bytes, size + more);
    if (!code)
        code = parse_preamble(parser, &input->header, &reader, bytes, size + more, err);
    free(bytes);
    return code;
}

int mega_npy_open(MegaNpyInput **out, MegaNpy *header, const char *path, MegaError *err)
{
    *out = NULL;
    MegaNpyInput *input = calloc(1, sizeof *input);
    if (!input)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for reading %s", path);
    input->parser.name = mega_source_name(path);
    input->fd = -1;
    int code = mega_source_open(&input->fd, path, err);
    if (!code)
        code = read_preamble(input, err);
    if (!code && input->parser.fortran && input->header.rank > 1)
        code = mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "%s: its elements are in Fortran order, so it cannot be read in pieces",
                         input->parser.name);
    if (code) {
        mega_npy_close(input);
        return code;
    }
    *header = input->header;
    *out = input;
    return 0;
}

static int check_end(const MegaNpyInput *input, MegaError *err)
{
    const Parser *parser = &input->parser;
    uint8_t byte;
    size_t got;
    int code = read_bytes(input->fd, parser->name, &byte, 1, &got, err);
    return code || !got ? code : BAD("data follow the last element; the file is damaged");
}

int mega_npy_next(MegaNpyInput *input, void *elements, size_t count, MegaError *err)
{
    Parser *parser = &input->parser;
    parser->data = input->block;
    for (size_t done = 0; done < count;) {
        const size_t step = count - done < STEP ? count - done : STEP;
        const size_t size = step * parser->item_size;
        size_t got;
        int code = read_bytes(input->fd, parser->name, input->block, size, &got, err);
        if (!code && got < size)
            code = BAD("it ends within element %" PRIu64 " of %" PRIu64 "; the file is truncated",
                       input->done + got / parser->item_size, input->header.elements);
        parser->first = input->done;
        for (size_t i = 0; i < step && !code; i++, done++) {
            if (input->header.type == MEGA_NPY_F32)
                convert_float(parser, input->done + i, (float *)elements + done);
            else
                code = convert_integer(parser, input->done + i, (int32_t *)elements + done, err);
        }
        if (code)
            return code;
        input->done += step;
    }
    return input->done == input->header.elements ? check_end(input, err) : 0;
}

void mega_npy_close(MegaNpyInput *input)
{
    if (!input)
        return;
    if (input->fd >= 0)
        close(input->fd);
    free(input);
}
