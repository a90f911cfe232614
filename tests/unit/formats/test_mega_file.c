/*
 * test_mega_file.c - the .mega container: the worked example is read and written, and damaged files
 * are rejected.
 *
 * Most cases damage the worked example of formats/mega/MEGA-FORMAT.md, which is read from the
 * document itself. So the offsets below can be looked up there, and document and code cannot
 * differ.
 */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "formats/base/bytes.h"
#include "formats/mega/mega_file.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define EXAMPLE_SIZE 458
#define INDEX 0xc0
#define INDEX_SIZE 154

static uint8_t example[EXAMPLE_SIZE];

/* Reads the lines of the dump: "    0c0  01 00 61 ...". */
static int load_example(void **state)
{
    char line[256];
    size_t size = 0;
    FILE *file = fopen("formats/mega/MEGA-FORMAT.md", "r");
    if (!file)
        return -1;
    while (fgets(line, sizeof line, file)) {
        unsigned offset, byte;
        int used = 0;
        if (sscanf(line, "    %3x  %n", &offset, &used) != 1 || used != 9 || offset != size)
            continue;
        for (int i = 0; i < 16 && sscanf(line + used + 3 * i, "%2x", &byte) == 1; i++)
            if (size < sizeof example && line[used + 3 * i] != ' ')
                example[size++] = (uint8_t)byte;
    }
    fclose(file);
    return size == sizeof example ? make_scratch_folder(state) : -1;
}

static void put_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static uint32_t crc_of(const void *data, size_t size)
{
    return (uint32_t)crc32(0, data, (uInt)size);
}

static void store(uint8_t *at, int width, uint64_t value)
{
    for (int i = 0; i < width; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Corrects all checksums of the example. */
static void seal(uint8_t *bytes)
{
    mega_store_u32(bytes + 48, crc_of(bytes + 64, 73));
    mega_store_u32(bytes + 52, crc_of(bytes + INDEX, INDEX_SIZE));
    mega_store_u32(bytes + 60, crc_of(bytes, 60));
}

/* Opens a copy, so that a sanitizer sees a read past its end, and reads everything in it. */
static int open_all(const uint8_t *bytes, size_t size, MegaError *err)
{
    MegaFile *file = NULL;
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, bytes, size);
    copy = realloc(copy, size ? size : 1);
    int code = mega_file_from_memory(&file, copy, size, "example", err);
    for (size_t i = 0; !code && i < mega_file_tensor_count(file); i++) {
        const MegaTensor *tensor = mega_file_tensor(file, i);
        uint8_t *dst = malloc((size_t)tensor->size);
        code = mega_file_read(file, tensor, dst, err);
        free(dst);
    }
    if (!code)
        code = mega_file_verify(file, err);
    mega_file_close(file);
    free(copy);
    return code;
}

/* ---- The example ---------------------------------------------------------------------------- */

static void check_example(const MegaFile *file)
{
    MegaError err = {0};
    int64_t width;
    float values[64];
    uint8_t decoded[128];
    const MegaMeta *meta = mega_file_meta(file);
    assert_int_equal(mega_file_size(file), EXAMPLE_SIZE);
    assert_int_equal(mega_meta_count(meta), 3);
    assert_string_equal(mega_meta_find(meta, "task")->string, "classify");
    assert_int_equal(mega_meta_get_int(meta, "width", 2, 2, &width, &err), 0);
    assert_string_equal(mega_meta_find(meta, "labels")->strings[1], "yes");
    assert_int_equal(mega_file_tensor_count(file), 3);
    const MegaTensor *a = mega_file_find(file, "a"), *b = mega_file_find(file, "b"),
                     *c = mega_file_find(file, "c");
    assert_null(mega_file_find(file, "d"));
    assert_null(mega_file_find(file, ""));
    assert_ptr_equal(a, mega_file_tensor(file, 0));
    assert_int_equal(a->encoding, MEGA_PLAIN);
    mega_dtype_to_f32(MEGA_F32, mega_file_data(file, a), 2, values);
    assert_true(values[0] == 1.0f && values[1] == -2.0f);
    assert_int_equal(c->tied_to, 0);
    assert_ptr_equal(mega_file_data(file, c), mega_file_data(file, a));
    assert_int_equal(mega_file_read(file, c, decoded, &err), 0);
    assert_memory_equal(decoded, mega_file_data(file, a), 8);
    assert_int_equal(b->dtype, MEGA_F16);
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[1], 32);
    assert_null(mega_file_data(file, b));
    assert_int_equal(mega_file_read(file, b, decoded, &err), 0);
    mega_dtype_to_f32(MEGA_F16, decoded, 64, values);
    for (int i = 0; i < 64; i++)
        assert_true(values[i] == (i < 32 ? 1.0f : 1.5f));
    assert_int_equal(mega_file_verify(file, &err), 0);
}

static void test_read_example(void **state)
{
    (void)state;
    MegaError err = {0};
    MegaFile *file = NULL;
    assert_int_equal(mega_file_from_memory(&file, example, sizeof example, "example", &err), 0);
    assert_string_equal(mega_file_name(file), "example");
    check_example(file);
    mega_file_close(file);
    mega_file_close(NULL);
}

/* Writes the example, with data from floats. */
static int write_example(const char *path, MegaError *err)
{
    static const MegaTensorDecl decls[] = {
        {.name = "a", .rank = 1, .shape = {2}, .tied_to = -1},
        {.name = "b", .dtype = MEGA_F16, .rank = 2, .shape = {2, 32}, .tied_to = -1},
        {.name = "c", .rank = 1, .shape = {2}}};
    static const float a[] = {1, -2};
    float b[64];
    uint8_t a_bytes[8], b_bytes[128];
    MegaWriter *writer = NULL;
    MegaMeta *meta = mega_meta_new();
    for (int i = 0; i < 64; i++)
        b[i] = i < 32 ? 1.0f : 1.5f;
    mega_dtype_from_f32(MEGA_F32, a, 2, a_bytes);
    mega_dtype_from_f32(MEGA_F16, b, 64, b_bytes);
    mega_meta_set_string(meta, "task", "classify");
    mega_meta_set_int(meta, "width", 2);
    mega_meta_set_strings(meta, "labels", (const char *[]){"no", "yes"}, 2);
    int code = mega_writer_new(&writer, path, meta, decls, 3, true, err);
    if (!code)
        code = mega_writer_tensor(writer, a_bytes, sizeof a_bytes, err);
    if (!code)
        code = mega_writer_tensor(writer, b_bytes, sizeof b_bytes, err);
    if (!code)
        code = mega_writer_finish(writer, err);
    mega_writer_free(writer);
    mega_meta_free(meta);
    return code;
}

static void test_write_example(void **state)
{
    (void)state;
    MegaError err = {0};
    MegaFile *file = NULL;
    uint8_t written[EXAMPLE_SIZE + 1];
    const char *path = path_in_folder("example.mega");
    assert_int_equal(write_example(path, &err), 0);
    assert_int_equal(count_files(scratch_folder), 1);
    FILE *stream = fopen(path, "rb");
    assert_int_equal(fread(written, 1, sizeof written, stream), EXAMPLE_SIZE);
    fclose(stream);
    assert_memory_equal(written, example, EXAMPLE_SIZE);
    assert_int_equal(mega_file_open(&file, path, &err), 0);
    assert_string_equal(mega_file_name(file), path);
    check_example(file);
    mega_file_close(file);
    unlink(path);
}

/* ---- What must be rejected ------------------------------------------------------------------ */

static void test_truncated(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof example; size++) {
        MegaError err = {0};
        assert_int_equal(open_all(example, size, &err), MEGA_ERR_FORMAT);
        assert_says(&err, size == 0 ? "empty" : "truncated");
    }
    uint8_t longer[EXAMPLE_SIZE + 1] = {0};
    MegaError err = {0};
    memcpy(longer, example, sizeof example);
    assert_int_equal(open_all(longer, sizeof longer, &err), MEGA_ERR_FORMAT);
    assert_says(&err, "1 bytes follow the end");
}

/* No bit of a file can change unnoticed. */
static void test_bit_flips(void **state)
{
    (void)state;
    uint8_t bytes[EXAMPLE_SIZE];
    memcpy(bytes, example, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            MegaError err = {0};
            bytes[i] ^= (uint8_t)(1 << bit);
            if (open_all(bytes, sizeof bytes, &err) == 0)
                fail_msg("a flip of bit %d of byte %zu is not noticed", bit, i);
            assert_true(err.text[0]);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
}

/* One field of the example with another value; all checksums are corrected. */
typedef struct Change {
    size_t offset;
    int width;
    uint64_t value;
    int code;
    const char *message;
} Change;

#define MAX64 UINT64_MAX
#define MAX32 UINT32_MAX

static const Change changes[] = {
    /* header */
    {8, 4, 0, MEGA_ERR_UNSUPPORTED, "version 0 of the format, this program reads version 1"},
    {8, 4, 2, MEGA_ERR_UNSUPPORTED, "version 2"},
    {8, 4, MAX32, MEGA_ERR_UNSUPPORTED, "version 4294967295"},
    {12, 4, 1, MEGA_ERR_UNSUPPORTED, "flags 0x1"},
    {12, 4, MAX32, MEGA_ERR_UNSUPPORTED, "flags 0xffffffff"},
    {16, 8, 0, MEGA_ERR_FORMAT, "458 bytes follow the end"},
    {16, 8, 1, MEGA_ERR_FORMAT, "457 bytes follow the end"},
    {16, 8, MAX64, MEGA_ERR_FORMAT, "truncated"},
    {24, 8, 0, MEGA_ERR_FORMAT, "the metadata puts it at 64"},
    {24, 8, 1, MEGA_ERR_FORMAT, "the metadata puts it at 128"},
    {24, 8, 72, MEGA_ERR_FORMAT, "the metadata is damaged"},
    {24, 8, 1 << 28, MEGA_ERR_FORMAT, "the metadata puts it at 268435520"},
    {24, 8, (1 << 28) + 1, MEGA_ERR_LIMIT, "metadata of 268435457"},
    {24, 8, MAX64, MEGA_ERR_LIMIT, "metadata of"},
    {32, 8, 0, MEGA_ERR_FORMAT, "the index is said to be at byte 0"},
    {32, 8, 1, MEGA_ERR_FORMAT, "the index is said to be at byte 1"},
    {32, 8, 256, MEGA_ERR_FORMAT, "the index is said to be at byte 256"},
    {32, 8, MAX64, MEGA_ERR_FORMAT, "the index is said to be at"},
    {40, 8, 0, MEGA_ERR_FORMAT, "the index is damaged"},
    {40, 8, 1, MEGA_ERR_FORMAT, "the index is damaged"},
    {40, 8, 1 << 28, MEGA_ERR_FORMAT, "of a file of 458"},
    {40, 8, MAX64, MEGA_ERR_LIMIT, "an index of"},
    {56, 4, 0, MEGA_ERR_FORMAT, "154 bytes follow the last entry"},
    {56, 4, 1, MEGA_ERR_FORMAT, "follow the last entry"},
    {56, 4, 4, MEGA_ERR_FORMAT, "do not fit"},
    {56, 4, 65536, MEGA_ERR_FORMAT, "65536 tensors do not fit"},
    {56, 4, 65537, MEGA_ERR_LIMIT, "65537 tensors exceed"},
    {56, 4, MAX32, MEGA_ERR_LIMIT, "tensors exceed"},
    /* metadata, padding */
    {0x40, 4, 4, MEGA_ERR_FORMAT, "example: metadata entry 3"},
    {0x4a, 1, 9, MEGA_ERR_UNSUPPORTED, "'task' has type 9"},
    {0x89, 1, 1, MEGA_ERR_FORMAT, "padding after the metadata"},
    {0xbf, 1, 1, MEGA_ERR_FORMAT, "padding after the metadata"},
    {0x15a, 1, 1, MEGA_ERR_FORMAT, "padding after the index"},
    {0x17f, 1, 1, MEGA_ERR_FORMAT, "padding after the index"},
    {0x188, 1, 1, MEGA_ERR_FORMAT, "'b': the padding before"},
    {0x1bf, 1, 1, MEGA_ERR_FORMAT, "'b': the padding before"},
    /* index: tensor a, plain */
    {0xc0, 2, 0, MEGA_ERR_FORMAT, "name of tensor 0"},
    {0xc0, 2, 256, MEGA_ERR_FORMAT, "reaches beyond the end of the index"},
    {0xc0, 2, 65535, MEGA_ERR_FORMAT, "reaches beyond the end of the index"},
    {0xc2, 1, 'b', MEGA_ERR_FORMAT, "'b' occurs twice"},
    {0xc2, 1, ' ', MEGA_ERR_FORMAT, "printable"},
    {0xc2, 1, 0, MEGA_ERR_FORMAT, "printable"},
    {0xc3, 1, 3, MEGA_ERR_FORMAT, "8 bytes is stated, but shape and dtype give 34"},
    {0xc3, 1, 5, MEGA_ERR_UNSUPPORTED, "dtype 5"},
    {0xc3, 1, 32, MEGA_ERR_UNSUPPORTED, "dtype 32"},
    {0xc3, 1, 255, MEGA_ERR_UNSUPPORTED, "dtype 255"},
    {0xc3, 1, 1, MEGA_ERR_FORMAT, "8 bytes is stated, but shape and dtype give 4"},
    {0xc4, 1, 3, MEGA_ERR_FORMAT, "in panels, but has 1 dimensions"},
    {0xc4, 1, 4, MEGA_ERR_UNSUPPORTED, "encoding 4"},
    {0xc4, 1, 255, MEGA_ERR_UNSUPPORTED, "encoding 255"},
    {0xc4, 1, 2, MEGA_ERR_FORMAT, "tied, but states data"},
    {0xc5, 1, 0, MEGA_ERR_FORMAT, "0 dimensions"},
    {0xc5, 1, 5, MEGA_ERR_FORMAT, "5 dimensions"},
    {0xc5, 1, 255, MEGA_ERR_FORMAT, "255 dimensions"},
    {0xc6, 8, 0, MEGA_ERR_FORMAT, "dimension 0 is zero"},
    {0xc6, 8, 1, MEGA_ERR_FORMAT, "shape and dtype give 4"},
    {0xc6, 8, MAX64, MEGA_ERR_FORMAT, "size overflows"},
    {0xc6, 8, (uint64_t)1 << 62, MEGA_ERR_FORMAT, "size overflows"},
    {0xce, 8, 0, MEGA_ERR_FORMAT, "'a': its data is said to be at byte 0"},
    {0xce, 8, 448, MEGA_ERR_FORMAT, "the layout puts it at 384"},
    {0xce, 8, 385, MEGA_ERR_FORMAT, "the layout puts it at 384"},
    {0xce, 8, MAX64, MEGA_ERR_FORMAT, "the layout puts it at 384"},
    {0xd6, 8, 0, MEGA_ERR_FORMAT, "stored size is zero"},
    {0xd6, 8, 7, MEGA_ERR_FORMAT, "7 bytes are stored for 8"},
    {0xd6, 8, 1000, MEGA_ERR_FORMAT, "beyond the end of the file"},
    {0xd6, 8, MAX64, MEGA_ERR_FORMAT, "beyond the end of the file"},
    {0xde, 8, 0, MEGA_ERR_FORMAT, "shape and dtype give 8"},
    {0xde, 8, MAX64, MEGA_ERR_FORMAT, "shape and dtype give 8"},
    {0xe6, 4, 0, MEGA_ERR_FORMAT, "has another checksum"}, /* c is tied to it */
    {0x180, 1, 1, MEGA_ERR_FORMAT, "'a': its data is damaged"},
    /* tensor b, deflated */
    {0xf8, 8, MAX64, MEGA_ERR_FORMAT, "number of elements overflows"},
    {0xf8, 8, (uint64_t)1 << 61, MEGA_ERR_FORMAT, "size overflows"},
    {0x100, 8, 384, MEGA_ERR_FORMAT, "'b': its data is said to be at byte 384"}, /* overlap */
    {0x100, 8, 512, MEGA_ERR_FORMAT, "the layout puts it at 448"},
    {0x108, 8, 9, MEGA_ERR_FORMAT, "its blocks add up to 10 bytes, but 9"},
    {0x108, 8, 11, MEGA_ERR_FORMAT, "beyond the end"},
    {0x118, 4, 0, MEGA_ERR_FORMAT, "'b': its data is damaged"},
    {0x11c, 4, 0, MEGA_ERR_FORMAT, "blocks of 0 bytes"},
    {0x11c, 4, 1, MEGA_ERR_FORMAT, "whole items of 2"},
    {0x11c, 4, 64, MEGA_ERR_FORMAT, "1 blocks of 64 bytes are not what 128 bytes need"},
    {0x11c, 4, (1 << 24) + 2, MEGA_ERR_FORMAT, "blocks of 16777218"},
    {0x11c, 4, MAX32, MEGA_ERR_FORMAT, "blocks of 4294967295"},
    {0x120, 4, 0, MEGA_ERR_FORMAT, "0 blocks"},
    {0x120, 4, 2, MEGA_ERR_FORMAT, "2 blocks"},
    {0x120, 4, MAX32, MEGA_ERR_FORMAT, "4294967295 blocks"},
    {0x124, 4, 0, MEGA_ERR_FORMAT, "stored size of zero"},
    {0x124, 4, 9, MEGA_ERR_FORMAT, "add up to 9"},
    {0x124, 4, MAX32, MEGA_ERR_FORMAT, "add up to 4294967295"},
    {0x128, 4, 0, MEGA_ERR_FORMAT, "'b': block 0 is damaged"},
    {0x1c4, 1, 0, MEGA_ERR_FORMAT, "'b': block 0 is damaged"},
    /* tensor c, tied */
    {0x12e, 1, 'a', MEGA_ERR_FORMAT, "'a' occurs twice"},
    {0x132, 8, 4, MEGA_ERR_FORMAT, "shape and dtype give 16"},
    {0x13a, 8, 384, MEGA_ERR_FORMAT, "tied, but states data"},
    {0x142, 8, 8, MEGA_ERR_FORMAT, "tied, but states data"},
    {0x156, 4, 1, MEGA_ERR_FORMAT, "tied to 'b', which has another dtype or shape"},
    {0x156, 4, 2, MEGA_ERR_FORMAT, "tied to tensor 2, which does not come before"},
    {0x156, 4, MAX32, MEGA_ERR_FORMAT, "which does not come before"},
};

static void test_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(changes); i++) {
        const Change *change = &changes[i];
        uint8_t bytes[EXAMPLE_SIZE];
        MegaError err = {0};
        memcpy(bytes, example, sizeof bytes);
        store(bytes + change->offset, change->width, change->value);
        seal(bytes);
        int code = open_all(bytes, sizeof bytes, &err);
        if (code != change->code || !strstr(err.text, change->message))
            fail_msg("0x%zx = %llu gives %d, %s; expected %d, %s", change->offset,
                     (unsigned long long)change->value, code, err.text, change->code,
                     change->message);
    }
}

/* Every byte of metadata and index takes any value, with correct checksums. Nothing may crash or
 * take much memory. */
static void test_all_values(void **state)
{
    (void)state;
    uint8_t bytes[EXAMPLE_SIZE];
    for (size_t i = 64; i < INDEX + INDEX_SIZE; i++) {
        for (int value = 0; value < 256; value++) {
            MegaError err = {0};
            memcpy(bytes, example, sizeof bytes);
            bytes[i] = (uint8_t)value;
            seal(bytes);
            int code = open_all(bytes, sizeof bytes, &err);
            assert_int_not_equal(code, MEGA_ERR_MEMORY);
        }
    }
}

/* The blocks of b have correct checksums, but claim another decoded size than the stream gives. */
static void test_inflate_is_exact(void **state)
{
    (void)state;
    static const uint64_t columns[] = {31, 33, 1};
    for (size_t i = 0; i < COUNT(columns); i++) {
        uint8_t bytes[EXAMPLE_SIZE];
        MegaError err = {0};
        memcpy(bytes, example, sizeof bytes);
        mega_store_u64(bytes + 0xf8, columns[i]);
        mega_store_u64(bytes + 0x110, 4 * columns[i]);
        seal(bytes);
        assert_int_equal(open_all(bytes, sizeof bytes, &err), MEGA_ERR_FORMAT);
        assert_says(&err, "does not decompress to exactly");
    }
    /* 10 stored bytes cannot become 20,480 */
    uint8_t bytes[EXAMPLE_SIZE];
    MegaError err = {0};
    memcpy(bytes, example, sizeof bytes);
    mega_store_u64(bytes + 0xf8, 5120);
    mega_store_u64(bytes + 0x110, 20480);
    seal(bytes);
    assert_int_equal(open_all(bytes, sizeof bytes, &err), MEGA_ERR_FORMAT);
    assert_says(&err, "more than deflate can");
    /* Bytes follow the end of the stream: it ends with 00 00, and one of these is assigned to a
     * block that ends earlier. */
    memcpy(bytes, example, sizeof bytes);
    memcpy(bytes + 0x1c0, "\x03\x00", 2); /* an empty stream, then eight more bytes */
    mega_store_u32(bytes + 0x128, crc_of(bytes + 0x1c0, 10));
    seal(bytes);
    assert_int_equal(open_all(bytes, sizeof bytes, &err), MEGA_ERR_FORMAT);
    assert_says(&err, "does not decompress to exactly");
}

typedef struct Foreign {
    const char *bytes;
    size_t size;
    const char *message;
} Foreign;

#define FOREIGN(bytes, message)                                                                    \
    {                                                                                              \
        bytes, sizeof bytes - 1, message                                                           \
    }

static const Foreign foreign[] = {
    FOREIGN("", "the file is empty"),
    FOREIGN("PK\3\4rest of an archive", "PyTorch checkpoint or another zip archive; convert it"),
    FOREIGN("\x80\2\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "legacy format; convert it"),
    FOREIGN("\x80\3\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "legacy format; convert it"),
    FOREIGN("\x80\4\x95\r\0\0\0\0\0\0\0\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
            "legacy format; convert it"),
    FOREIGN("\x80\4\x95\r\0\0\0\0\0\0\0\x8a\nl\xfc", "Python pickle, perhaps a PyTorch checkpoint"),
    FOREIGN("\x80\6\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "not a .mega file"),
    FOREIGN("\x10\0\0\0\0\0\0\0{\"a\":{}}        ", "safetensors"),
    FOREIGN("GGUF\3\0\0\0", "GGUF"),
    FOREIGN("\x08\x07\x12\x07pytorch", "ONNX"),
    FOREIGN("<!DOCTYPE html><html>", "web page"),
    FOREIGN("\n  <HTML>", "web page"),
    FOREIGN("version https://git-lfs.github.com/spec/v1\n", "git-LFS pointer"),
    FOREIGN("\x1f\x8b\x08\0", "gzip"),
    FOREIGN("RIFF\0\0\0\0WAVEfmt ", "wav recording; give it as an input"),
    FOREIGN("\x89PNG\r\n\x1a\n", "PNG image"),
    FOREIGN("\x93NUMPY\1\0", "NumPy"),
    FOREIGN("no 1\nyes 2\n", "text file"),
    FOREIGN("GIF8 and RIFF are words of a text", "text file"),
    FOREIGN("[\n      {\"a\": 1}]\n", "text file"),
    FOREIGN("\x89MEGA", "truncated"),
    FOREIGN("\0\1\2\3\4\5\6\7\x10", "not a .mega file"),
    FOREIGN("\x89MEGA\n\n\1\0\0\0", "damaged by a text-mode transfer"),
    FOREIGN("\x89MEGA\r\n\r\r\n\1\0\0\0", "damaged by a text-mode transfer"),
    FOREIGN("\tMEGA\n\r\n\1\0\0\0", "damaged by a text-mode transfer"),
    FOREIGN("\xc2\x89MEGA\n\r\n\1\0\0\0", "damaged by a text-mode transfer"),
    FOREIGN("\xef\xbf\xbdMEGA\n\r\n\1\0\0", "damaged by a text-mode transfer"),
};

static void test_foreign_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(foreign); i++) {
        MegaError err = {0};
        assert_int_equal(open_all((const uint8_t *)foreign[i].bytes, foreign[i].size, &err),
                         MEGA_ERR_FORMAT);
        assert_says(&err, foreign[i].message);
    }
    MegaError err = {0};
    MegaFile *file;
    const char *path = path_in_folder("empty");
    assert_int_equal(mega_file_open(&file, path, &err), MEGA_ERR_IO);
    assert_says(&err, "No such file");
    put_file(path, "", 0);
    assert_int_equal(mega_file_open(&file, path, &err), MEGA_ERR_FORMAT);
    assert_says(&err, "the file is empty");
    unlink(path);
    assert_int_equal(mega_file_open(&file, scratch_folder, &err), MEGA_ERR_IO);
    assert_says(&err, "directory");
    assert_int_equal(mega_file_open(&file, "/dev/null", &err), MEGA_ERR_IO);
    assert_says(&err, "not a regular file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_example),
        cmocka_unit_test(test_write_example),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_all_values),
        cmocka_unit_test(test_inflate_is_exact),
        cmocka_unit_test(test_foreign_files),
    };
    return cmocka_run_group_tests_name("mega_file", tests, load_example, remove_scratch_folder);
}
