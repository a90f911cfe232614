/*
 * test_panels.c - the layout of matrices (formats/tensor/panels.h), and scales that are not finite.
 */
#include "tests/unit/support.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/mega/mega_file.h"
#include "formats/tensor/panels.h"

static size_t row_bytes(MegaDtype dtype, size_t columns)
{
    return (size_t)mega_dtype_items(dtype, columns) * mega_dtype_traits((int)dtype)->item_size;
}

/* Rows of every type are stored and loaded, whole, in pieces, and as floats. The padding of the
 * last panel is zero. */
static void rows_go_in_and_out(void **state)
{
    Random random = {41};
    (void)state;
    for (int round = 0; round < 200; round++) {
        MegaDtype dtype = (MegaDtype)(round % (MEGA_Q4 + 1));
        size_t rows = (size_t)random_int(&random, 1, 40);
        size_t columns = (size_t)random_int(&random, 1, 150), bytes = row_bytes(dtype, columns);
        size_t items = (size_t)mega_dtype_items(dtype, columns);
        size_t size = (size_t)mega_packed_bytes(dtype, rows, columns);
        float *values = random_floats(&random, rows * columns, -1, 1);
        float *expected = malloc(columns * sizeof *expected);
        float *found = malloc(columns * sizeof *found);
        unsigned char *stored = malloc(rows * bytes), *back = malloc(bytes);
        unsigned char *panels = malloc(size), *again = malloc(size);
        assert_true(expected && found && stored && back && panels && again);
        for (size_t row = 0; row < rows; row++)
            mega_dtype_from_f32(dtype, values + row * columns, columns, stored + row * bytes);
        memset(panels, 0xaa, size);
        memset(again, 0xaa, size);
        mega_panels_pack(dtype, panels, stored, bytes, rows, columns);
        mega_panels_fill(dtype, again, rows, columns);
        for (size_t row = 0; row < rows; row++) {
            size_t cut = (size_t)random_int(&random, 0, (int)items);
            mega_panels_store(dtype, again, columns, row, cut, items - cut,
                              stored + row * bytes + cut * (bytes / items));
            mega_panels_store(dtype, again, columns, row, 0, cut, stored + row * bytes);
        }
        assert_memory_equal(again, panels, size);
        MegaPacked packed = {.panels = panels, .dtype = dtype, .in = columns, .out = rows};
        for (size_t row = 0; row < rows; row++) {
            mega_panels_load(dtype, panels, columns, row, back);
            assert_memory_equal(back, stored + row * bytes, bytes);
            mega_dtype_to_f32(dtype, back, columns, expected);
            mega_packed_row(&packed, row, found);
            assert_memory_equal(found, expected, columns * sizeof *found);
        }
        for (size_t row = rows; row % MEGA_PANEL != 0; row++) {
            mega_panels_load(dtype, panels, columns, row, back);
            for (size_t i = 0; i < bytes; i++)
                assert_int_equal(back[i], 0);
        }
        assert_true(mega_panels_valid(dtype, panels, rows, columns));
        void *const all[] = {values, expected, found, stored, back, panels, again};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            free(all[i]);
    }
}

/* In every encoding, a scale that is not finite is found when it is read or used. */
static void bad_scales_are_refused(void **state)
{
    static const unsigned char scales[][2] = {
        {0x80, 0x7f}, {0x80, 0xff}, {0xc0, 0x7f}, {0xff, 0xff}};
    enum { ROWS = 20, COLUMNS = 40, MOST = ROWS * 2 * 34 };
    char path[] = "/tmp/mega-test-XXXXXX";
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    for (size_t s = 0; s < 2 * 4 * 3; s++) {
        MegaDtype dtype = s < 4 * 3 ? MEGA_Q8 : MEGA_Q4;
        MegaTensorDecl decl = {"w", dtype, 2, {ROWS, COLUMNS}, -1, s % 3 == 1};
        size_t item = mega_dtype_traits((int)dtype)->item_size;
        unsigned char data[MOST] = {0}, back[MOST];
        MegaError err = {0};
        MegaWriter *writer;
        MegaFile *file;
        MegaMeta *meta = mega_meta_new();
        memcpy(data + item * 33, scales[s / 3 % 4], 2);
        assert_int_equal(mega_writer_new(&writer, path, meta, &decl, 1, s % 3 == 2, &err), 0);
        assert_int_equal(mega_writer_tensor(writer, data, ROWS * 2 * item, &err), 0);
        assert_int_equal(mega_writer_finish(writer, &err), 0);
        mega_writer_free(writer);
        mega_meta_free(meta);
        assert_int_equal(mega_file_open(&file, path, &err), 0);
        const MegaTensor *tensor = mega_file_tensor(file, 0);
        assert_int_equal(mega_file_read(file, tensor, back, &err), MEGA_ERR_FORMAT);
        assert_non_null(strstr(err.text, "NaN or infinite"));
        assert_int_equal(mega_file_verify(file, &err), MEGA_ERR_FORMAT);
        assert_int_equal(mega_file_check_items(file, tensor, &err),
                         s % 3 == 2 ? 0 : MEGA_ERR_FORMAT);
        if (s % 3 == 2)
            assert_int_equal(mega_file_read_block(file, tensor, 0, back, &err), MEGA_ERR_FORMAT);
        mega_file_close(file);
    }
    unlink(path);
}

/* The rows that pad a panel must be zero; no checksum covers them. */
static void padding_is_zero(void **state)
{
    MegaTensorDecl decl = {"w", MEGA_F32, 2, {20, 4}, -1, true};
    const float data[20 * 4] = {0};
    char path[] = "/tmp/mega-test-XXXXXX";
    int fd = mkstemp(path);
    MegaError err = {0};
    MegaWriter *writer;
    MegaFile *file;
    MegaMeta *meta = mega_meta_new();
    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(mega_writer_new(&writer, path, meta, &decl, 1, false, &err), 0);
    assert_int_equal(mega_writer_tensor(writer, data, sizeof data, &err), 0);
    assert_int_equal(mega_writer_finish(writer, &err), 0);
    mega_writer_free(writer);
    mega_meta_free(meta);
    assert_int_equal(mega_file_open(&file, path, &err), 0);
    assert_int_equal(mega_file_verify(file, &err), 0);
    const MegaTensor *tensor = mega_file_tensor(file, 0);
    assert_int_equal(tensor->stored_size, 32 * 4 * sizeof(float));
    fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "\1", 1, (off_t)(tensor->offset + tensor->stored_size - 1)), 1);
    close(fd);
    assert_int_equal(mega_file_verify(file, &err), MEGA_ERR_FORMAT);
    assert_non_null(strstr(err.text, "the padding of its last panel is not zero"));
    mega_file_close(file);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_go_in_and_out),
        cmocka_unit_test(bad_scales_are_refused),
        cmocka_unit_test(padding_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
