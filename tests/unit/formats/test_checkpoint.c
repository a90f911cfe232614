/*
 * test_checkpoint.c - PyTorch and safetensors checkpoints (formats/checkpoint/checkpoint.h): the
 * small ones of tests/data/checkpoints (see make.py there), damaged copies of them, foreign files,
 * and the fixtures of the original implementation if they are available.
 */
#define _GNU_SOURCE /* memmem, memfd_create */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "formats/base/bytes.h"
#include "formats/checkpoint/checkpoint.h"

#define DATA "tests/data/checkpoints/"
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* This file is in memory, since writing thousands of versions to a disk would take minutes. */
static int temporary_fd;
static char temporary[64];

static int make_temporary(void **state)
{
    (void)state;
    temporary_fd = memfd_create("checkpoint", MFD_CLOEXEC);
    snprintf(temporary, sizeof temporary, "/proc/self/fd/%d", temporary_fd);
    return temporary_fd < 0;
}

static int remove_temporary(void **state)
{
    (void)state;
    return close(temporary_fd);
}

static void write_temporary(const void *bytes, size_t size)
{
    assert_int_equal(ftruncate(temporary_fd, 0), 0);
    assert_int_equal(pwrite(temporary_fd, bytes, size, 0), size);
}

static MegaBuffer read_file(const char *path)
{
    static uint8_t bytes[65536];
    MegaBuffer buffer = {0};
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    mega_put_bytes(&buffer, bytes, size);
    return buffer;
}

static MegaCheckpoint *open_good(const char *path)
{
    MegaCheckpoint *checkpoint;
    MegaError err = {0};
    if (mega_checkpoint_open(&checkpoint, path, &(MegaCheckpointOptions){0}, &err) != 0)
        fail_msg("%s", err.text);
    return checkpoint;
}

static void expect_error(const char *path, int code, const char *message)
{
    MegaCheckpoint *checkpoint;
    MegaError err = {0};
    int got = mega_checkpoint_open(&checkpoint, path, &(MegaCheckpointOptions){0}, &err);
    if (got != code || !strstr(err.text, message) || !strstr(err.text, path) || checkpoint)
        fail_msg("%d '%s', expected %d '%s'", got, err.text, code, message);
}

static void expect_bytes(const void *bytes, size_t size, int code, const char *message)
{
    write_temporary(bytes, size);
    expect_error(temporary, code, message);
}

/* ---- Values --------------------------------------------------------------------------------- */

static void expect_values(const MegaCheckpoint *checkpoint, const char *name, int rank,
                          const uint64_t *shape, const float *expected)
{
    const MegaCheckpointTensor *tensor = mega_checkpoint_find(checkpoint, name);
    float values[16];
    uint64_t elements = 1;
    if (!tensor)
        fail_msg("no tensor '%s'", name);
    assert_int_equal(tensor->rank, rank);
    for (int i = 0; i < rank; i++) {
        assert_int_equal(tensor->shape[i], shape[i]);
        elements *= shape[i];
    }
    assert_int_equal(tensor->elements, elements);
    mega_checkpoint_read_f32(tensor, values);
    for (uint64_t i = 0; i < elements; i++)
        if (values[i] != expected[i])
            fail_msg("%s[%d] is %g, expected %g", name, (int)i, (double)values[i],
                     (double)expected[i]);
}

#define SHAPE(...)                                                                                 \
    (int)(COUNT(((uint64_t[]){__VA_ARGS__}))), (const uint64_t[])                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define VALUES(...) ((const float[]){__VA_ARGS__})
#define RAMP VALUES(-3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8)

static void expect_types(const MegaCheckpoint *checkpoint)
{
    static const struct {
        const char *name;
        MegaDtype dtype;
    } types[] = {
        {"f32", MEGA_F32}, {"f16", MEGA_F16}, {"bf16", MEGA_BF16}, {"f64", MEGA_F64},
        {"i64", MEGA_I64}, {"i32", MEGA_I32}, {"i16", MEGA_I16},   {"i8", MEGA_I8},
    };
    for (size_t i = 0; i < COUNT(types); i++) {
        expect_values(checkpoint, types[i].name, SHAPE(3, 4), RAMP);
        assert_int_equal(mega_checkpoint_find(checkpoint, types[i].name)->dtype, types[i].dtype);
    }
    expect_values(checkpoint, "u8", SHAPE(3, 4), VALUES(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
    assert_int_equal(mega_checkpoint_find(checkpoint, "u8")->dtype, MEGA_U8);
    assert_int_equal(mega_checkpoint_find(checkpoint, "bool")->dtype, MEGA_BOOL);
    expect_values(checkpoint, "scalar", 0, NULL, VALUES(0.5f));
}

static const char *const whole_files[] = {"zip.pt", "legacy.pt", "legacy_protocol3.pt",
                                          "legacy_protocol5.pt", "protocol4.pt"};

static void test_torch(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(whole_files); i++) {
        char path[128];
        snprintf(path, sizeof path, DATA "%s", whole_files[i]);
        MegaCheckpoint *checkpoint = open_good(path);
        assert_string_equal(mega_checkpoint_kind(checkpoint),
                            strncmp(whole_files[i], "legacy", 6) == 0 ? "torch legacy"
                                                                      : "torch zip");
        assert_int_equal(mega_checkpoint_count(checkpoint), 20);
        assert_string_equal(mega_checkpoint_tensor(checkpoint, 0)->name, "f32");
        assert_string_equal(mega_checkpoint_tensor(checkpoint, 19)->name, "parameter");
        assert_null(mega_checkpoint_tensor(checkpoint, 20));
        assert_null(mega_checkpoint_find(checkpoint, "f3"));
        expect_types(checkpoint);
        expect_values(checkpoint, "bool", SHAPE(12), VALUES(1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0));
        expect_values(checkpoint, "parameter", SHAPE(12), RAMP);
        expect_values(checkpoint, "transposed", SHAPE(4, 3),
                      VALUES(-3, 1, 5, -2, 2, 6, -1, 3, 7, 0, 4, 8));
        expect_values(checkpoint, "permuted", SHAPE(2, 2, 3),
                      VALUES(-3, -1, 1, 3, 5, 7, -2, 0, 2, 4, 6, 8));
        expect_values(checkpoint, "tail", SHAPE(7), VALUES(2, 3, 4, 5, 6, 7, 8));
        expect_values(checkpoint, "every_third", SHAPE(4), VALUES(-2, 1, 4, 7));
        expect_values(checkpoint, "repeated", SHAPE(3, 2), VALUES(1, 2, 1, 2, 1, 2));
        expect_values(checkpoint, "empty", SHAPE(0, 3), RAMP);
        mega_checkpoint_close(checkpoint);
    }
}

static bool same(const MegaCheckpoint *checkpoint, const char *a, const char *b)
{
    return mega_checkpoint_same(mega_checkpoint_find(checkpoint, a),
                                mega_checkpoint_find(checkpoint, b));
}

static void test_shared(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(whole_files); i++) {
        char path[128];
        snprintf(path, sizeof path, DATA "%s", whole_files[i]);
        MegaCheckpoint *checkpoint = open_good(path);
        assert_true(same(checkpoint, "whole", "tied"));
        assert_false(same(checkpoint, "whole", "transposed"));
        assert_false(same(checkpoint, "whole", "tail"));
        assert_false(same(checkpoint, "whole", "parameter")); /* equal, but in another storage */
        mega_checkpoint_close(checkpoint);
    }
}

static void expect_arguments(const json_t *args)
{
    json_t *expected = json_pack(
        "{s:s, s:i, s:f, s:b, s:n, s:[f,i], s:[f,f], s:{s:{s:i}}, s:s, s:s, s:s, s:s, s:s}", "arch",
        "mega_test", "chunk_size", -1, "dropout", 0.1, "share", 1, "restore", "lr", 0.001, 2,
        "betas", 0.9, 0.98, "nested", "a", "b", 1, "device", "<torch.device>", "big",
        "<an integer>", "dtype", "<torch.float16>", "text", "\u00e4\u20ac", "infinite", "inf");
    assert_non_null(expected);
    assert_true(json_equal(args, expected));
    json_decref(expected);
}

static void test_arguments(void **state)
{
    (void)state;
    static const char *const files[] = {DATA "zip.pt", DATA "legacy.pt",
                                        DATA "legacy_protocol5.pt", DATA "protocol4.pt",
                                        DATA "cfg.pt"};
    for (size_t i = 0; i < COUNT(files); i++) {
        MegaCheckpoint *checkpoint = open_good(files[i]);
        expect_arguments(mega_checkpoint_args(checkpoint));
        mega_checkpoint_close(checkpoint);
    }
}

static void test_bare(void **state)
{
    (void)state;
    static const char *const files[] = {DATA "bare.pt", DATA "deflated_pickle.pt", DATA "cfg.pt"};
    for (size_t i = 0; i < COUNT(files); i++) {
        MegaCheckpoint *checkpoint = open_good(files[i]);
        assert_int_equal(mega_checkpoint_count(checkpoint), 2);
        expect_values(checkpoint, "f32", SHAPE(3, 4), RAMP);
        mega_checkpoint_close(checkpoint);
    }
    MegaCheckpoint *checkpoint = open_good(DATA "bare.pt");
    assert_null(mega_checkpoint_args(checkpoint));
    mega_checkpoint_close(checkpoint);
}

/* A module that was saved as a whole has the names of its state dict. */
static void test_module(void **state)
{
    (void)state;
    MegaCheckpoint *checkpoint = open_good(DATA "module.pt");
    assert_int_equal(mega_checkpoint_count(checkpoint), 2);
    const MegaCheckpointTensor *tensor = mega_checkpoint_find(checkpoint, "weight");
    assert_non_null(tensor);
    assert_int_equal(tensor->rank, 2);
    assert_non_null(mega_checkpoint_find(checkpoint, "bias"));
    mega_checkpoint_close(checkpoint);
}

static void test_safetensors(void **state)
{
    (void)state;
    MegaCheckpoint *checkpoint = open_good(DATA "small.safetensors");
    assert_string_equal(mega_checkpoint_kind(checkpoint), "safetensors");
    assert_int_equal(mega_checkpoint_count(checkpoint), 11);
    expect_types(checkpoint);
    expect_values(checkpoint, "bool", SHAPE(3, 4), VALUES(1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0));
    mega_checkpoint_close(checkpoint);
}

/* ---- Refused -------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    (void)state;
    expect_error(DATA "attack.pt", MEGA_ERR_MODEL, "no tensors were found");
    assert_int_not_equal(access("/tmp/mega-was-here", F_OK), 0);
    expect_error(DATA "no_tensors.pt", MEGA_ERR_MODEL, "no tensors were found");
    expect_error(DATA "deflated_data.pt", MEGA_ERR_UNSUPPORTED, "'data/0' is compressed");
    expect_error(DATA "big_endian.pt", MEGA_ERR_UNSUPPORTED, "big-endian");
    expect_error(DATA "short_record.pt", MEGA_ERR_FORMAT, "40 bytes, but its storage is 12");
    expect_error(DATA "plain.pickle", MEGA_ERR_FORMAT, "a Python pickle");
}

static void test_foreign(void **state)
{
    (void)state;
#define FOREIGN(bytes, message) expect_bytes(bytes, sizeof(bytes) - 1, MEGA_ERR_FORMAT, message)
    FOREIGN("", "the file is empty");
    FOREIGN("\x89MEGA\n\r\n\1\0\0\0", "a .mega model already; use it with mega-run");
    FOREIGN("<!DOCTYPE html><html>", "a web page");
    FOREIGN("version https://git-lfs.github.com/spec/v1\n", "git lfs pull");
    FOREIGN("GGUF\3\0\0\0", "a GGUF file");
    FOREIGN("\x08\x07\x12\x07pytorch", "an ONNX model");
    FOREIGN("\x1f\x8b\x08\0", "gunzip");
    FOREIGN("RIFF\0\0\0\0WAVEfmt ", "a wav recording; expected a PyTorch checkpoint");
    FOREIGN("\x89PNG\r\n\x1a\n", "a PNG image; expected");
    FOREIGN("no 1\nyes 2\n", "a text file");
    FOREIGN("\0\1\2\3\4\5\6\7\x10", "of an unknown kind");
    char tar[512] = "checkpoint";
    memcpy(tar + 257, "ustar", 5);
    expect_bytes(tar, sizeof tar, MEGA_ERR_FORMAT, "a tar archive");
    expect_error("tests/data", MEGA_ERR_FORMAT, "the folder has no config.json");
    expect_error("tests/no-such-file", MEGA_ERR_IO, "No such file");
    expect_error("/dev/null", MEGA_ERR_IO, "not a regular file");
}

/* Expects an answer for a safetensors file with this header and so many bytes of data. */
static void expect_header(const char *header, size_t data, int code, const char *message)
{
    MegaBuffer bytes = {0};
    mega_put_u64(&bytes, strlen(header));
    mega_put_bytes(&bytes, header, strlen(header));
    for (size_t i = 0; i < data; i++)
        mega_put_u8(&bytes, 0);
    write_temporary(bytes.data, bytes.size);
    mega_buffer_free(&bytes);
    if (code)
        expect_error(temporary, code, message);
    else
        mega_checkpoint_close(open_good(temporary));
}

#define TENSOR(name, type, shape, begin, end)                                                      \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end  \
    "]}"
#define A TENSOR("a", "F32", "[2]", 0, 8)

static void test_safetensors_header(void **state)
{
    (void)state;
    const int bad = MEGA_ERR_FORMAT;
    expect_header("{" A "}", 8, 0, "");
    expect_header("{" TENSOR("b", "U8", "[3]", 8, 11) "," A "}", 11, 0, "");
    expect_header("{" A "}", 7, bad, "truncated");
    expect_header("{" A "}", 9, bad, "1 bytes follow");
    expect_header("{" A "," TENSOR("b", "U8", "[3]", 7, 10) "}", 10, bad, "begins at 7");
    expect_header("{" A "," TENSOR("b", "U8", "[3]", 9, 12) "}", 12, bad, "begins at 9");
    expect_header("{" A "," TENSOR("b", "F32", "[2]", 0, 8) "}", 8, bad, "begins at 0");
    expect_header("{" A "," A "}", 8, bad, "JSON");
    expect_header("{" TENSOR("a", "F8_E4M3", "[7]", 0, 8) "}", 8, bad, "do not fit");
    expect_header("{" TENSOR("a", "F4", "[3]", 0, 2) "}", 2, bad, "do not fit");
    expect_header("{" TENSOR("a", "\\u001b[m", "[3]", 0, 2) "}", 2, bad, "not a name");
    expect_header("{" TENSOR("a", "F32", "[3]", 0, 8) "}", 8, bad, "do not fit");
    expect_header("{" TENSOR("a", "F32", "[-2]", 0, 8) "}", 8, bad, "not a size");
    expect_header("{" TENSOR("a", "F32", "[2.0]", 0, 8) "}", 8, bad, "not a size");
    expect_header("{" TENSOR("a", "F32", "2", 0, 8) "}", 8, bad, "no shape");
    expect_header("{" TENSOR("a", "F32", "[2]", 8, 0) "}", 8, bad, "not two offsets");
    expect_header("{" TENSOR("a", "F32", "[2]", -8, 0) "}", 8, bad, "not two offsets");
    expect_header("{" TENSOR("a", "F64", "[4294967296,4294967296]", 0, 0) "}", 0, bad, "overflows");
    expect_header("{" TENSOR("a", "F64", "[2305843009213693952]", 0, 0) "}", 0, bad, "do not fit");
    expect_header("{" TENSOR("", "F32", "[2]", 0, 8) "}", 8, MEGA_ERR_LIMIT, "the name");
    expect_header("{" TENSOR("a\\u001b[31m", "F32", "[2]", 0, 8) "}", 8, bad,
                  "the name of tensor 0 holds a control character");
    expect_header("{" TENSOR("a\\u009b31m", "F32", "[2]", 0, 8) "}", 8, bad,
                  "the name of tensor 0 holds a control character");
    expect_header("{" TENSOR("a\\u202eb", "F32", "[2]", 0, 8) "}", 8, bad,
                  "the name of tensor 0 holds a control character");
    expect_header("{\"a\":1}", 8, bad, "expected dtype");
    expect_header("{", 8, bad, "JSON");
    expect_header("{}", 0, MEGA_ERR_MODEL, "no tensors");
    uint8_t huge[] = {255, 255, 255, 255, 0, 0, 0, 0, '{', '}'};
    expect_bytes(huge, sizeof huge, MEGA_ERR_LIMIT, "a header of 4294967295 bytes");
}

/* Tensors that cannot be read are listed with their type. */
static void test_odd_safetensors(void **state)
{
    (void)state;
    static const struct {
        const char *dtype, *type;
        int elements, bytes;
    } cases[] = {{"U16", "uint16", 3, 6},
                 {"U32", "uint32", 3, 12},
                 {"U64", "uint64", 3, 24},
                 {"C64", "complex64", 3, 24},
                 {"F8_E4M3", "float8_e4m3fn", 3, 3},
                 {"F8_E5M2", "float8_e5m2", 3, 3},
                 {"F4", "float4_e2m1fn", 4, 2},
                 {"F6_E2M3", "float6_e2m3", 4, 3},
                 {"Z7_NEW", "Z7_NEW", 3, 5}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char header[256];
        snprintf(
            header, sizeof header,
            "{\"odd\":{\"dtype\":\"%s\",\"shape\":[%d],\"data_offsets\":[0,%d]},"
            "\"r9\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[%d,%d]}}",
            cases[i].dtype, cases[i].elements, cases[i].bytes, cases[i].bytes, cases[i].bytes + 8);
        expect_header(header, (size_t)cases[i].bytes + 8, 0, "");
        MegaCheckpoint *checkpoint = open_good(temporary);
        const MegaCheckpointTensor *tensor = mega_checkpoint_find(checkpoint, "odd");
        assert_string_equal(tensor->type, cases[i].type);
        assert_false(tensor->readable);
        tensor = mega_checkpoint_find(checkpoint, "r9");
        assert_string_equal(tensor->type, "f32");
        assert_false(tensor->readable);
        assert_int_equal(tensor->rank, 9);
        assert_int_equal(tensor->shape[8], 2);
        mega_checkpoint_close(checkpoint);
    }
}

/* These headers are small but would take much memory as JSON. */
static void test_header_bombs(void **state)
{
    (void)state;
    static const char *const units[] = {"[],", "{},", "[[", "[{", "0,"};
    for (size_t u = 0; u < COUNT(units); u++) {
        MegaBuffer text = {0}, bytes = {0};
        mega_put_bytes(&text, "{\"__metadata__\":[", 17);
        while (text.size < 3 << 20)
            mega_put_bytes(&text, units[u], strlen(units[u]));
        mega_put_bytes(&text, "0]}", 3);
        mega_put_u64(&bytes, text.size);
        mega_put_bytes(&bytes, text.data, text.size);
        bool numbers = u == COUNT(units) - 1; /* these are within bounds */
        expect_bytes(bytes.data, bytes.size, numbers ? MEGA_ERR_MODEL : MEGA_ERR_LIMIT,
                     numbers ? "no tensors" : "the most that this file may take");
        mega_buffer_free(&text);
        mega_buffer_free(&bytes);
    }
}

/* ---- Damage --------------------------------------------------------------------------------- */

/* Opens the temporary file, and reads and verifies all of it. */
static int read_all(MegaError *err)
{
    MegaCheckpoint *checkpoint;
    int code = mega_checkpoint_open(&checkpoint, temporary, &(MegaCheckpointOptions){0}, err);
    for (size_t i = 0; !code && i < mega_checkpoint_count(checkpoint); i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        float values[64];
        code = mega_checkpoint_verify(checkpoint, tensor, err);
        if (!code && tensor->elements <= 64)
            mega_checkpoint_read_f32(tensor, values);
    }
    mega_checkpoint_close(checkpoint);
    return code;
}

static const char *const damaged_files[] = {DATA "zip.pt", DATA "legacy.pt",
                                            DATA "legacy_protocol5.pt",
                                            DATA "small.safetensors", DATA "deflated_pickle.pt"};

static void test_truncated(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT(damaged_files); f++) {
        MegaBuffer bytes = read_file(damaged_files[f]);
        for (size_t size = 0; size < bytes.size; size++) {
            MegaError err = {0};
            write_temporary(bytes.data, size);
            if (read_all(&err) == 0)
                fail_msg("%s opens with %d bytes", damaged_files[f], (int)size);
            assert_true(err.text[0]);
        }
        mega_put_u8(&bytes, 0); /* only PyTorch's formats may have a zero after the end */
        write_temporary(bytes.data, bytes.size);
        assert_int_equal(read_all(NULL) == 0, !strstr(damaged_files[f], "safetensors"));
        mega_put_u8(&bytes, 1);
        write_temporary(bytes.data, bytes.size);
        assert_int_not_equal(read_all(NULL), 0);
        mega_buffer_free(&bytes);
    }
}

/* Every byte changed in two ways must give an answer. In a zip file, checksums cover all that
 * matters. */
static void test_flipped(void **state)
{
    (void)state;
    static const uint8_t masks[] = {0x01, 0xff};
    for (size_t f = 0; f < COUNT(damaged_files); f++) {
        MegaBuffer bytes = read_file(damaged_files[f]);
        for (size_t i = 0; i < bytes.size; i++)
            for (size_t m = 0; m < COUNT(masks); m++) {
                MegaError err = {0};
                bytes.data[i] ^= masks[m];
                write_temporary(bytes.data, bytes.size);
                int code = read_all(&err);
                assert_true(code <= 0 && (code == 0) == (err.code == 0));
                bytes.data[i] ^= masks[m];
            }
        mega_buffer_free(&bytes);
    }
}

static void test_checksum(void **state)
{
    (void)state;
    MegaBuffer bytes = read_file(DATA "bare.pt");
    MegaCheckpoint *checkpoint = open_good(DATA "bare.pt");
    const MegaCheckpointTensor *tensor = mega_checkpoint_find(checkpoint, "f32");
    uint8_t *at = memmem(bytes.data, bytes.size, tensor->storage, tensor->storage_size);
    assert_non_null(at);
    assert_int_equal(mega_checkpoint_verify(checkpoint, tensor, NULL), 0);
    mega_checkpoint_close(checkpoint);
    at[5] ^= 4;
    write_temporary(bytes.data, bytes.size);
    MegaError err = {0};
    assert_int_equal(read_all(&err), MEGA_ERR_FORMAT);
    assert_non_null(strstr(err.text, "checksum does not match"));
    mega_buffer_free(&bytes);
}

/* ---- Fixtures of the original --------------------------------------------------------------- */

typedef struct Fixture {
    const char *file, *kind;
    size_t count;
    const char *tensor;
    double sum, first; /* of that tensor, as PyTorch reads it */
} Fixture;

/* The sum and the first value of one tensor, as PyTorch printed them in double precision. */
static const Fixture fixtures[] = {
    {"image_small_conv/checkpoint.pth", "torch zip", 53, "head.weight", -0.085796219937,
     -0.058083511889},
    {"lm_enwik8_small/checkpoint.pt", "torch zip", 75, "decoder.output_projection.weight",
     32.5069152362, -0.0433066301048},
    {"lra_aan/checkpoint.pt", "torch legacy", 44, "sentence_projection_layer.weight", 2.06908476024,
     0.00284290499985},
    {"lra_pf128/checkpoint.pt", "torch zip", 66, "sentence_projection_layer.weight",
     -0.119064464663, -0.0926029160619},
    {"mt_small_prenorm/checkpoint.pt", "torch zip", 119, "decoder.output_projection.weight",
     8.62198477498, -0.0401876084507},
    {"sc_raw_base/checkpoint.pt", "torch zip", 178, "sentence_projection_layer.weight",
     0.568907276785, 0.0252748839557},
    {"unit_legacy/checkpoint.pt", "torch legacy", 48, "sentence_projection_layer.weight",
     -3.089027123, -0.0501519553363},
    {"unit_statedict/model_state.pt", "torch zip", 48, "sentence_projection_layer.weight",
     -1.84898531344, 0.104504071176},
};

static const char *fixture_folder(void)
{
    const char *folder = getenv("MEGA_FIXTURES");
    return folder ? folder : "../shared/fixtures";
}

/* Every fixture opens and is complete. */
static void test_all_fixtures(void **state)
{
    (void)state;
    static const char *const names[] = {"checkpoint.pt", "checkpoint.pth", "model_state.pt"};
    const char *folder = fixture_folder();
    DIR *dir = opendir(folder);
    int opened = 0;
    if (!dir)
        skip();
    for (struct dirent *entry; (entry = readdir(dir));)
        for (size_t i = 0; i < COUNT(names); i++) {
            char path[1024];
            snprintf(path, sizeof path, "%s/%s/%s", folder, entry->d_name, names[i]);
            if (access(path, F_OK) != 0)
                continue;
            MegaCheckpoint *checkpoint = open_good(path);
            for (size_t t = 0; t < mega_checkpoint_count(checkpoint); t++) {
                const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, t);
                assert_int_equal(mega_checkpoint_verify(checkpoint, tensor, NULL), 0);
                assert_ptr_equal(mega_checkpoint_find(checkpoint, tensor->name), tensor);
            }
            mega_checkpoint_close(checkpoint);
            opened++;
        }
    closedir(dir);
    assert_true(opened >= (int)COUNT(fixtures));
}

static void test_fixture_values(void **state)
{
    (void)state;
    const char *folder = fixture_folder();
    if (access(folder, F_OK) != 0)
        skip();
    for (size_t i = 0; i < COUNT(fixtures); i++) {
        const Fixture *fixture = &fixtures[i];
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, fixture->file);
        MegaCheckpoint *checkpoint = open_good(path);
        assert_string_equal(mega_checkpoint_kind(checkpoint), fixture->kind);
        assert_int_equal(mega_checkpoint_count(checkpoint), fixture->count);
        const MegaCheckpointTensor *tensor = mega_checkpoint_find(checkpoint, fixture->tensor);
        assert_non_null(tensor);
        assert_int_equal(mega_checkpoint_verify(checkpoint, tensor, NULL), 0);
        float *values = calloc(tensor->elements, sizeof *values);
        double sum = 0;
        mega_checkpoint_read_f32(tensor, values);
        for (uint64_t e = 0; e < tensor->elements; e++)
            sum += (double)values[e];
        assert_true(fabs(sum - fixture->sum) <= 1e-9 * (1 + fabs(sum)));
        assert_true(fabs((double)values[0] - fixture->first) <= 1e-9 * fabs(fixture->first));
        free(values);
        mega_checkpoint_close(checkpoint);
    }
}

/* The memory for opening and reading is reported, and opening keeps within a limit. */
static void test_memory(void **state)
{
    const char *path = "tests/fixtures/unit_statedict/model_state.pt";
    MegaCheckpoint *checkpoint = open_good(path), *again;
    const uint64_t memory = mega_checkpoint_memory(checkpoint);
    MegaError err = {0};
    (void)state;
    for (size_t i = 0; i < mega_checkpoint_count(checkpoint); i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(checkpoint, i);
        const uint64_t bytes = mega_checkpoint_reading(checkpoint, tensor);
        assert_true(bytes >= 8 * tensor->elements); /* both the bytes of the file and floats */
        assert_true(bytes <= tensor->storage_size + 4 * tensor->elements);
    }
    assert_true(memory > 1000 && memory < 1000000);
    mega_checkpoint_close(checkpoint);
    assert_int_equal(mega_checkpoint_open(&again, path,
                                          &(MegaCheckpointOptions){.max_memory = memory}, &err),
                     0);
    mega_checkpoint_close(again);
    assert_int_equal(mega_checkpoint_open(&again, path,
                                          &(MegaCheckpointOptions){.max_memory = memory / 4}, &err),
                     MEGA_ERR_LIMIT);
    assert_null(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_torch),           cmocka_unit_test(test_shared),
        cmocka_unit_test(test_arguments),       cmocka_unit_test(test_bare),
        cmocka_unit_test(test_module),
        cmocka_unit_test(test_safetensors),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_foreign),         cmocka_unit_test(test_safetensors_header),
        cmocka_unit_test(test_odd_safetensors), cmocka_unit_test(test_header_bombs),
        cmocka_unit_test(test_truncated),       cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_checksum),        cmocka_unit_test(test_all_fixtures),
        cmocka_unit_test(test_fixture_values),  cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
