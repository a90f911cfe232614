/*
 * test_mega_writer.c - the reader reads back what the writer of .mega files wrote: large tensors of
 * every type, in blocks and plain. Wrong declarations and data are refused and leave no file
 * behind.
 */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/atomic_file.h"
#include "formats/mega/mega_file.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- Larger files --------------------------------------------------------------------------- */

enum { BIG_ROWS = 300, BIG_COLUMNS = 1000 };

static const MegaTensorDecl big_decls[] = {
    {"f32", MEGA_F32, 2, {BIG_ROWS, BIG_COLUMNS}, -1, false},
    {"tie", MEGA_F32, 2, {BIG_ROWS, BIG_COLUMNS}, 0, false},
    {"f16", MEGA_F16, 4, {BIG_ROWS, 10, 10, 10}, -1, false},
    {"tiny", MEGA_BF16, 1, {1}, -1, false},
    {"bf16", MEGA_BF16, 1, {BIG_ROWS * BIG_COLUMNS}, -1, false},
    {"edge", MEGA_F32, 1, {65536}, -1, false}, /* exactly one block */
    {"panels", MEGA_F32, 2, {BIG_ROWS, 70}, -1, true},
    {"panels_tie", MEGA_F32, 2, {BIG_ROWS, 70}, 6, true},
    {"panels16", MEGA_F16, 2, {32, 9}, -1, true}, /* whole panels */
    {"int8", MEGA_Q8, 2, {37, 100}, -1, true},
    {"int8_plain", MEGA_Q8, 3, {2, 3, 31}, -1, false},
    {"int4", MEGA_Q4, 2, {37, 100}, -1, true},
    {"int4_plain", MEGA_Q4, 3, {2, 3, 31}, -1, false},
};

/* Makes bytes without much pattern, which are the same for every call. */
static uint8_t *big_data(const MegaTensorDecl *decl, size_t *size)
{
    uint32_t seed = (uint32_t)decl->name[0] + (uint32_t)decl->rank;
    uint64_t bytes = 0;
    assert_true(mega_dtype_bytes(decl->dtype, decl->shape, decl->rank, &bytes));
    *size = (size_t)bytes;
    uint8_t *data = malloc(*size);
    for (size_t i = 0; i < *size; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (uint8_t)(seed >> 28);
    }
    return data;
}

static void write_big(const char *path, bool compress)
{
    MegaError err = {0};
    MegaWriter *writer = NULL;
    MegaMeta *meta = mega_meta_new();
    assert_int_equal(
        mega_writer_new(&writer, path, meta, big_decls, COUNT(big_decls), compress, &err), 0);
    mega_meta_free(meta);
    for (size_t i = 0; i < COUNT(big_decls); i++) {
        size_t size;
        uint8_t *data = big_data(&big_decls[i], &size);
        if (big_decls[i].tied_to < 0)
            assert_int_equal(mega_writer_tensor(writer, data, size, &err), 0);
        free(data);
    }
    assert_int_equal(access(path, F_OK), -1); /* the file does not exist before the end */
    assert_int_equal(mega_writer_finish(writer, &err), 0);
    mega_writer_free(writer);
}

static void check_blocks(const MegaFile *file, const MegaTensor *tensor, const uint8_t *data)
{
    MegaError err = {0};
    uint8_t *block = malloc(tensor->block_size);
    for (uint32_t i = 0; i < tensor->block_count; i++) {
        size_t at = (size_t)i * tensor->block_size, left = (size_t)tensor->size - at;
        assert_int_equal(mega_file_read_block(file, tensor, i, block, &err), 0);
        assert_memory_equal(block, data + at,
                            left < tensor->block_size ? left : tensor->block_size);
    }
    assert_int_equal(mega_file_read_block(file, tensor, tensor->block_count, block, &err),
                     MEGA_ERR_ARGUMENT);
    free(block);
}

static void check_big(const char *path, bool compress)
{
    MegaError err = {0};
    MegaFile *file = NULL;
    assert_int_equal(mega_file_open(&file, path, &err), 0);
    assert_int_equal(mega_file_tensor_count(file), COUNT(big_decls));
    for (size_t i = 0; i < COUNT(big_decls); i++) {
        const MegaTensorDecl *decl = &big_decls[i];
        const MegaTensor *tensor = mega_file_find(file, decl->name);
        size_t size;
        uint8_t *data = big_data(&big_decls[decl->tied_to < 0 ? i : (size_t)decl->tied_to], &size);
        assert_int_equal(tensor->size, size);
        assert_int_equal(tensor->dtype, decl->dtype);
        assert_int_equal(tensor->rank, decl->rank);
        assert_int_equal(tensor->tied_to, decl->tied_to);
        assert_int_equal(tensor->offset % MEGA_DATA_ALIGNMENT, 0);
        for (int j = 0; j < decl->rank; j++)
            assert_int_equal(tensor->shape[j], decl->shape[j]);
        bool packed = compress && size > MEGA_DATA_ALIGNMENT;
        size_t item = mega_dtype_traits((int)decl->dtype)->item_size;
        size_t block = 262144 / item * item;
        assert_int_equal(tensor->block_count, packed ? (size + block - 1) / block : 0);
        uint8_t *found = malloc(size);
        assert_int_equal(mega_file_read(file, tensor, found, &err), 0);
        assert_memory_equal(found, data, size);
        if (packed) {
            assert_null(mega_file_data(file, tensor));
            check_blocks(file, tensor, data);
        } else if (decl->panels) {
            assert_null(mega_file_data(file, tensor));
            assert_non_null(mega_file_panels(file, tensor));
        } else {
            assert_memory_equal(mega_file_data(file, tensor), data, size);
        }
        free(found);
        free(data);
    }
    assert_int_equal(mega_file_verify(file, &err), 0);
    mega_file_close(file);
}

static void test_big(void **state)
{
    (void)state;
    for (int compress = 0; compress < 2; compress++) {
        const char *path = path_in_folder("big.mega");
        write_big(path, compress);
        check_big(path, compress);
        assert_int_equal(unlink(path), 0);
    }
}

/* Damage in the third block of the first tensor is found and named, and the other blocks can still
 * be read. */
static void test_damaged_block(void **state)
{
    (void)state;
    MegaError err = {0};
    MegaFile *file = NULL;
    const char *path = path_in_folder("big.mega");
    write_big(path, true);
    assert_int_equal(mega_file_open(&file, path, &err), 0);
    const MegaTensor *tensor = mega_file_find(file, "f32");
    assert_int_equal(tensor->block_count, 5);
    uint8_t *data = malloc((size_t)tensor->size);
    int fd = open(path, O_RDWR);
    off_t at = (off_t)(tensor->offset + tensor->stored_size / 2);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(mega_file_read(file, tensor, data, &err), MEGA_ERR_FORMAT);
    assert_says(&err, "tensor 'f32': block 2 is damaged");
    assert_int_equal(mega_file_verify(file, &err), MEGA_ERR_FORMAT);
    assert_int_equal(mega_file_read_block(file, tensor, 2, data, &err), MEGA_ERR_FORMAT);
    assert_int_equal(mega_file_read_block(file, tensor, 3, data, &err), 0);
    /* The file is truncated while it is mapped. */
    assert_int_equal(ftruncate(fd, 4096), 0);
    close(fd);
    assert_int_equal(mega_file_read(file, tensor, data, &err), MEGA_ERR_IO);
    assert_says(&err, "cut short");
    assert_int_equal(mega_file_read_block(file, tensor, 3, data, &err), MEGA_ERR_IO);
    assert_int_equal(mega_file_verify(file, &err), MEGA_ERR_IO);
    mega_file_close(file);
    free(data);
    unlink(path);
}

static void test_no_tensors(void **state)
{
    (void)state;
    for (int length = 0; length < 64; length++) { /* covers every amount of padding */
        MegaError err = {0};
        MegaWriter *writer = NULL;
        MegaFile *file = NULL;
        char text[65] = {0};
        const char *path = path_in_folder("none.mega");
        MegaMeta *meta = mega_meta_new();
        memset(text, 'x', (size_t)length);
        mega_meta_set_string(meta, "key", text);
        assert_int_equal(mega_writer_new(&writer, path, meta, NULL, 0, true, &err), 0);
        mega_meta_free(meta);
        assert_int_equal(mega_writer_finish(writer, &err), 0);
        mega_writer_free(writer);
        assert_int_equal(mega_file_open(&file, path, &err), 0);
        assert_string_equal(mega_meta_find(mega_file_meta(file), "key")->string, text);
        assert_int_equal(mega_file_verify(file, &err), 0);
        mega_file_close(file);
        unlink(path);
    }
}

/* ---- Writing -------------------------------------------------------------------------------- */

typedef struct BadDecl {
    MegaTensorDecl second;
    int code;
    const char *message;
} BadDecl;

static const BadDecl bad_decls[] = {
    {{"a", MEGA_F32, 1, {2}, -1, false}, MEGA_ERR_ARGUMENT, "'a' is declared twice"},
    {{"", MEGA_F32, 1, {2}, -1, false}, MEGA_ERR_ARGUMENT, "printable"},
    {{"b c", MEGA_F32, 1, {2}, -1, false}, MEGA_ERR_ARGUMENT, "printable"},
    {{"b", MEGA_F64, 1, {2}, -1, false}, MEGA_ERR_ARGUMENT, "dtype f64"},
    {{"b", MEGA_F32, 0, {2}, -1, false}, MEGA_ERR_LIMIT, "0 dimensions"},
    {{"b", MEGA_F32, 5, {2}, -1, false}, MEGA_ERR_LIMIT, "5 dimensions"},
    {{"b", MEGA_F32, 2, {2, 0}, -1, false}, MEGA_ERR_ARGUMENT, "dimension 1 of tensor 'b' is zero"},
    {{"b", MEGA_F32, 2, {UINT64_MAX, 2}, -1, false}, MEGA_ERR_LIMIT, "overflows"},
    {{"b", MEGA_F32, 1, {UINT64_MAX / 4}, -1, false}, MEGA_ERR_LIMIT, "overflows"},
    {{"b", MEGA_F32, 1, {2}, 1, false}, MEGA_ERR_ARGUMENT, "not an earlier tensor"},
    {{"b", MEGA_F32, 1, {2}, 2, false}, MEGA_ERR_ARGUMENT, "tied to number 2 of 2"},
    {{"b", MEGA_F32, 1, {3}, 0, false}, MEGA_ERR_ARGUMENT, "same dtype and shape"},
    {{"b", MEGA_F16, 1, {2}, 0, false}, MEGA_ERR_ARGUMENT, "same dtype and shape"},
    {{"b", MEGA_F32, 2, {2, 1}, 0, false}, MEGA_ERR_ARGUMENT, "same dtype and shape"},
    {{"b", MEGA_F32, 1, {2}, -1, true}, MEGA_ERR_ARGUMENT, "it is not a matrix"},
};

static void test_bad_declarations(void **state)
{
    (void)state;
    MegaMeta *meta = mega_meta_new();
    for (size_t i = 0; i < COUNT(bad_decls); i++) {
        MegaError err = {0};
        MegaWriter *writer = NULL;
        MegaTensorDecl decls[2] = {{"a", MEGA_F32, 1, {2}, -1, false}, bad_decls[i].second};
        int code =
            mega_writer_new(&writer, path_in_folder("bad.mega"), meta, decls, 2, false, &err);
        assert_int_equal(code, bad_decls[i].code);
        assert_says(&err, bad_decls[i].message);
        assert_null(writer);
        assert_int_equal(count_files(scratch_folder), 0);
    }
    mega_meta_free(meta);
}

static void test_wrong_data(void **state)
{
    (void)state;
    MegaError err = {0};
    MegaWriter *writer = NULL;
    MegaMeta *meta = mega_meta_new();
    static const MegaTensorDecl decl = {"a", MEGA_F32, 1, {2}, -1, false};
    const char *path = path_in_folder("wrong.mega");
    assert_int_equal(mega_writer_new(&writer, path, meta, &decl, 1, false, &err), 0);
    assert_int_equal(count_files(scratch_folder), 1); /* the temporary one */
    assert_int_equal(mega_writer_finish(writer, &err), MEGA_ERR_ARGUMENT);
    assert_says(&err, "'a' has no data yet");
    assert_int_equal(mega_writer_tensor(writer, "1234567", 7, &err), MEGA_ERR_ARGUMENT);
    assert_says(&err, "'a' has 8 bytes, but 7");
    assert_int_equal(mega_writer_tensor(writer, "12345678", 8, &err), 0);
    assert_int_equal(mega_writer_tensor(writer, "12345678", 8, &err), MEGA_ERR_ARGUMENT);
    assert_says(&err, "all declared tensors");
    mega_writer_free(writer);
    assert_int_equal(count_files(scratch_folder), 0);
    assert_int_equal(mega_writer_new(&writer, path, meta, &decl, 1, false, &err), 0);
    mega_outputs_abandon(); /* as a signal handler would */
    assert_int_equal(count_files(scratch_folder), 0);
    mega_writer_free(writer);
    mega_meta_free(meta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_big),        cmocka_unit_test(test_damaged_block),
        cmocka_unit_test(test_no_tensors), cmocka_unit_test(test_bad_declarations),
        cmocka_unit_test(test_wrong_data),
    };
    return cmocka_run_group_tests(tests, make_scratch_folder, remove_scratch_folder);
}
