/*
 * test_zip.c - zip archives, good and hostile (formats/checkpoint/zip.h). The archives are built
 * here, so that every field can be false. Each is opened from a block of exactly its size, so that
 * a sanitizer sees a read past the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

#include "formats/checkpoint/zip.h"

typedef struct Spec {
    const char *name, *local_name; /* local_name: NULL if it is the same */
    const void *data;
    size_t size, stored_size;
    uint64_t directory_size;       /* 0: size */
    uint16_t method, local_method; /* local_method: 0 if it is the same */
    uint16_t flags;
    uint32_t crc, local_crc; /* local_crc: 0 if it is the same */
    bool descriptor, wrong_descriptor, zip64;
    uint16_t version; /* the version that is needed, minus 20 */
    uint16_t disk;
    uint32_t attributes;
    int64_t header; /* offset of the local header; -1: the true one */
} Spec;

static Spec stored(const char *name, const char *data)
{
    size_t size = strlen(data);
    return (Spec){.name = name,
                  .data = data,
                  .size = size,
                  .stored_size = size,
                  .crc = (uint32_t)crc32(0, (const Bytef *)data, (uInt)size),
                  .header = -1};
}

static void put_local(MegaBuffer *out, const Spec *spec)
{
    const char *name = spec->local_name ? spec->local_name : spec->name;
    uint16_t flags = spec->flags | (spec->descriptor ? 8 : 0);
    mega_put_u32(out, 0x04034b50);
    mega_put_u16(out, 20);
    mega_put_u16(out, flags);
    mega_put_u16(out, spec->local_method ? spec->local_method : spec->method);
    mega_put_u32(out, 0);
    mega_put_u32(out, spec->descriptor ? 0 : spec->local_crc ? spec->local_crc : spec->crc);
    mega_put_u32(out, spec->descriptor ? 0 : (uint32_t)spec->stored_size);
    mega_put_u32(out, spec->descriptor ? 0 : (uint32_t)spec->size);
    mega_put_u16(out, (uint16_t)strlen(name));
    mega_put_u16(out, 0);
    mega_put_bytes(out, name, strlen(name));
    mega_put_bytes(out, spec->data, spec->stored_size);
    if (spec->descriptor) {
        mega_put_u32(out, 0x08074b50);
        mega_put_u32(out, spec->crc ^ (spec->wrong_descriptor ? 1 : 0));
        mega_put_u32(out, (uint32_t)spec->stored_size);
        mega_put_u32(out, (uint32_t)spec->size);
    }
}

static void put_central(MegaBuffer *out, const Spec *spec, uint64_t header)
{
    uint64_t size = spec->directory_size ? spec->directory_size : spec->size;
    uint64_t stored_size = spec->method ? spec->stored_size : size;
    mega_put_u32(out, 0x02014b50);
    mega_put_u16(out, 20);
    mega_put_u16(out, 20 + spec->version);
    mega_put_u16(out, spec->flags | (spec->descriptor ? 8 : 0));
    mega_put_u16(out, spec->method);
    mega_put_u32(out, 0);
    mega_put_u32(out, spec->crc);
    mega_put_u32(out, spec->zip64 ? UINT32_MAX : (uint32_t)stored_size);
    mega_put_u32(out, spec->zip64 ? UINT32_MAX : (uint32_t)size);
    mega_put_u16(out, (uint16_t)strlen(spec->name));
    mega_put_u16(out, spec->zip64 ? 28 : 0);
    mega_put_u16(out, 0);
    mega_put_u16(out, spec->disk);
    mega_put_u16(out, 0);
    mega_put_u32(out, spec->attributes);
    mega_put_u32(out, spec->zip64 ? UINT32_MAX : (uint32_t)header);
    mega_put_bytes(out, spec->name, strlen(spec->name));
    if (spec->zip64) {
        mega_put_u16(out, 1);
        mega_put_u16(out, 24);
        mega_put_u64(out, size);
        mega_put_u64(out, stored_size);
        mega_put_u64(out, header);
    }
}

static void put_end(MegaBuffer *out, size_t count, uint64_t directory, bool zip64)
{
    uint64_t size = out->size - directory, place = out->size;
    if (zip64) {
        mega_put_u32(out, 0x06064b50);
        mega_put_u64(out, 44);
        mega_put_u32(out, 45 | 45 << 16);
        mega_put_u64(out, 0);
        mega_put_u64(out, count);
        mega_put_u64(out, count);
        mega_put_u64(out, size);
        mega_put_u64(out, directory);
        mega_put_u32(out, 0x07064b50);
        mega_put_u32(out, 0);
        mega_put_u64(out, place);
        mega_put_u32(out, 1);
    }
    mega_put_u32(out, 0x06054b50);
    mega_put_u32(out, 0);
    mega_put_u16(out, zip64 ? UINT16_MAX : (uint16_t)count);
    mega_put_u16(out, zip64 ? UINT16_MAX : (uint16_t)count);
    mega_put_u32(out, zip64 ? UINT32_MAX : (uint32_t)size);
    mega_put_u32(out, zip64 ? UINT32_MAX : (uint32_t)directory);
    mega_put_u16(out, 0);
}

static MegaBuffer build(const Spec *specs, size_t count)
{
    MegaBuffer out = {0};
    uint64_t headers[8];
    for (size_t i = 0; i < count; i++) {
        headers[i] = out.size;
        put_local(&out, &specs[i]);
    }
    uint64_t directory = out.size;
    for (size_t i = 0; i < count; i++)
        put_central(&out, &specs[i], specs[i].header >= 0 ? (uint64_t)specs[i].header : headers[i]);
    put_end(&out, count, directory, specs[0].zip64);
    return out;
}

/* Opens a copy of exactly that size and reads every entry. */
static int open_all(const void *bytes, size_t size, MegaError *err)
{
    uint8_t *copy = malloc(size ? size : 1);
    MegaZip *zip;
    memcpy(copy, bytes, size);
    int code = mega_zip_open(&zip, copy, size, "test.zip", err);
    for (size_t i = 0; !code && i < mega_zip_count(zip); i++) {
        MegaBuffer content = {0};
        code = mega_zip_read(zip, mega_zip_entry(zip, i), 1 << 20, &content, err);
        mega_buffer_free(&content);
    }
    mega_zip_close(zip);
    free(copy);
    return code;
}

static void expect(const Spec *specs, size_t count, int code, const char *message)
{
    MegaBuffer bytes = build(specs, count);
    MegaError err = {0};
    int got = open_all(bytes.data, bytes.size, &err);
    if (got != code || !strstr(err.text, message))
        fail_msg("%d '%s', expected %d '%s'", got, err.text, code, message);
    mega_buffer_free(&bytes);
}

/* Makes raw deflate of zeros, which turns few bytes into many. */
static size_t deflate_zeros(uint8_t *out, size_t room, size_t zeros)
{
    z_stream stream = {0};
    uint8_t *input = calloc(1, zeros);
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = input;
    stream.avail_in = (uInt)zeros;
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    free(input);
    return stream.total_out;
}

static void test_good(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        Spec specs[] = {stored("b/two", "second"), stored("a", "first one"), stored("c", "")};
        for (int i = 0; i < 3; i++) {
            specs[i].descriptor = variant & 1;
            specs[i].zip64 = variant & 2;
        }
        MegaBuffer bytes = build(specs, 3), content = {0};
        MegaError err = {0};
        MegaZip *zip = NULL;
        assert_int_equal(mega_zip_open(&zip, bytes.data, bytes.size, "z", &err), 0);
        assert_int_equal(mega_zip_count(zip), 3);
        const MegaZipEntry *entry = mega_zip_find(zip, "b/two");
        assert_non_null(entry);
        assert_int_equal(entry->size, 6);
        assert_memory_equal(entry->data, "second", 6);
        assert_null(mega_zip_find(zip, "b/tw"));
        assert_null(mega_zip_find(zip, "b/two2"));
        entry = mega_zip_find(zip, "a");
        assert_int_equal(mega_zip_read(zip, entry, 9, &content, &err), 0);
        assert_memory_equal(content.data, "first one", 9);
        assert_int_equal(mega_zip_read(zip, entry, 8, &content, &err), MEGA_ERR_LIMIT);
        mega_zip_close(zip);
        mega_buffer_free(&content);
        mega_buffer_free(&bytes);
    }
}

static void test_deflate(void **state)
{
    (void)state;
    static uint8_t packed[4096];
    Spec spec = {.name = "zeros", .data = packed, .method = 8, .size = 100000, .header = -1};
    spec.stored_size = deflate_zeros(packed, sizeof packed, spec.size);
    expect(&spec, 1, 0, "");
    spec.size = 99999; /* the limit is exact: test one byte less and one more */
    expect(&spec, 1, MEGA_ERR_FORMAT, "does not inflate to the 99999 bytes");
    spec.size = 100001;
    expect(&spec, 1, MEGA_ERR_FORMAT, "does not inflate");
    spec.size = 100000;
    spec.stored_size++; /* a byte after the stream */
    expect(&spec, 1, MEGA_ERR_FORMAT, "does not inflate");
    spec.stored_size--;
    spec.size = 2000000;
    expect(&spec, 1, MEGA_ERR_LIMIT, "the limit is");
    spec.size = 100000;
    packed[0] = 0xff;
    expect(&spec, 1, MEGA_ERR_FORMAT, "does not inflate");
}

static void test_disagreement(void **state)
{
    (void)state;
    const char *message = "is described differently";
    Spec spec = stored("a", "data");
    spec.local_name = "b";
    expect(&spec, 1, MEGA_ERR_FORMAT, message);
    spec = stored("a", "data");
    spec.local_method = 8;
    expect(&spec, 1, MEGA_ERR_FORMAT, message);
    spec = stored("a", "data");
    spec.local_crc = 1;
    expect(&spec, 1, MEGA_ERR_FORMAT, message);
    spec = stored("a", "data");
    spec.directory_size = 3;
    expect(&spec, 1, MEGA_ERR_FORMAT, message);
    spec = stored("a", "data");
    spec.descriptor = spec.wrong_descriptor = true;
    expect(&spec, 1, MEGA_ERR_FORMAT, "contradicts the directory");
}

static void test_hostile(void **state)
{
    (void)state;
    Spec two[] = {stored("a", "one"), stored("a", "two")};
    expect(two, 2, MEGA_ERR_FORMAT, "occurs twice");
    two[1].name = "b";
    two[1].local_name = "a";
    two[1].header = 0; /* both entries share one local header, so the names differ */
    expect(two, 2, MEGA_ERR_FORMAT, "is described differently");
    two[1] = two[0]; /* now the names are the same */
    two[1].header = 0;
    expect(two, 2, MEGA_ERR_FORMAT, "overlaps");
    Spec spec = stored("a", "data");
    spec.flags = 1;
    expect(&spec, 1, MEGA_ERR_UNSUPPORTED, "encrypted");
    spec = stored("a", "data");
    spec.method = 12;
    expect(&spec, 1, MEGA_ERR_UNSUPPORTED, "method 12");
    spec = stored("a", "data");
    spec.version = 50;
    expect(&spec, 1, MEGA_ERR_UNSUPPORTED, "needs version 70");
    spec = stored("a", "data");
    spec.disk = 1;
    expect(&spec, 1, MEGA_ERR_FORMAT, "on another disk");
    spec = stored("a", "data");
    spec.attributes = 0x10;
    expect(&spec, 1, MEGA_ERR_FORMAT, "a folder with content");
    spec = stored("", "data");
    expect(&spec, 1, MEGA_ERR_FORMAT, "UTF-8");
    spec = stored("\xff", "data");
    expect(&spec, 1, MEGA_ERR_FORMAT, "UTF-8");
    spec = stored("a", "data");
    spec.header = 1;
    expect(&spec, 1, MEGA_ERR_FORMAT, "no local header");
    spec = stored("a", "data");
    spec.header = 0x7fffffff;
    expect(&spec, 1, MEGA_ERR_FORMAT, "no local header");
    spec = stored("a", "data");
    spec.zip64 = true;
    spec.descriptor = true;
    spec.directory_size = UINT64_MAX - 8;
    expect(&spec, 1, MEGA_ERR_FORMAT, "reaches into the directory");
    spec = stored("a", "data");
    spec.crc ^= 1;
    expect(&spec, 1, MEGA_ERR_FORMAT, "checksum does not match");
    spec.crc = 0; /* no checksum was computed */
    expect(&spec, 1, 0, "");
}

/* The data of an entry contains the local header and data of another one. */
static void test_nested(void **state)
{
    (void)state;
    Spec inner = stored("in", "x");
    MegaBuffer local = {0};
    put_local(&local, &inner);
    mega_put_u8(&local, 0);
    Spec specs[] = {stored("out", ""), inner};
    specs[0].data = local.data;
    specs[0].size = specs[0].stored_size = local.size - 1;
    specs[0].crc = 0;
    specs[1].header = 30 + 3;
    expect(specs, 2, MEGA_ERR_FORMAT, "overlaps");
    mega_buffer_free(&local);
}

static void test_end_records(void **state)
{
    (void)state;
    Spec spec = stored("a", "data");
    MegaError err = {0};
    for (int zip64 = 0; zip64 < 2; zip64++) {
        spec.zip64 = zip64;
        MegaBuffer bytes = build(&spec, 1);
        for (size_t size = 0; size < bytes.size; size++)
            assert_int_equal(open_all(bytes.data, size, &err), MEGA_ERR_FORMAT);
        for (int zeros = 0; zeros < 70000; zeros++) { /* zeros have no meaning, however many
                                                         there are */
            mega_put_u8(&bytes, 0);
            if (zeros < 100 || zeros % 10000 == 0)
                assert_int_equal(open_all(bytes.data, bytes.size, &err), 0);
        }
        mega_put_u8(&bytes, 1); /* other data after the end */
        assert_int_equal(open_all(bytes.data, bytes.size, &err), MEGA_ERR_FORMAT);
        mega_buffer_free(&bytes);
    }
    /* One comment ends in zeros, with further zeros after it; another is truncated. */
    MegaBuffer bytes = build(&spec, 1);
    mega_store_u16(bytes.data + bytes.size - 2, 6);
    mega_put_bytes(&bytes, "one\0\0\0\0", 7);
    assert_int_equal(open_all(bytes.data, bytes.size, &err), 0);
    assert_int_equal(open_all(bytes.data, bytes.size - 2, &err), MEGA_ERR_FORMAT);
    mega_buffer_free(&bytes);
    uint8_t zeros[64] = {0};
    assert_int_equal(open_all(zeros, sizeof zeros, &err), MEGA_ERR_FORMAT);
    bytes = build(&spec, 1);
    mega_store_u64(bytes.data + bytes.size - 22 - 20 - 56 + 32, UINT64_C(1) << 40); /* entries */
    assert_true(open_all(bytes.data, bytes.size, &err) != 0);
    mega_buffer_free(&bytes);
}

/* Every byte set to 0, 1, 127 and 255 must give an answer, and no crash. */
static void test_damage(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 1, 127, 255};
    Spec specs[] = {stored("a", "data"), stored("b", "more")};
    specs[1].descriptor = true;
    for (int zip64 = 0; zip64 < 2; zip64++) {
        specs[0].zip64 = specs[1].zip64 = zip64;
        MegaBuffer bytes = build(specs, 2);
        int refused = 0;
        for (size_t i = 0; i < bytes.size; i++)
            for (size_t v = 0; v < sizeof values; v++) {
                uint8_t kept = bytes.data[i];
                MegaError err = {0};
                bytes.data[i] = values[v];
                refused += open_all(bytes.data, bytes.size, &err) != 0;
                bytes.data[i] = kept;
            }
        assert_true(refused > 200);
        mega_buffer_free(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),         cmocka_unit_test(test_deflate),
        cmocka_unit_test(test_disagreement), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_nested),       cmocka_unit_test(test_end_records),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
