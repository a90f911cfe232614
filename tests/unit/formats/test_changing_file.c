/*
 * test_changing_file.c - a model file that another process writes to while it is opened.
 *
 * The mapping shows every change at once, so a length that was checked may have changed when it is
 * used. An opened file must therefore come from bytes that were the same throughout.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/unit/support.h"

#include "formats/base/bytes.h"
#include "formats/mega/mega_file.h"

#define STRINGS 20000
#define OPENINGS 400

static char path[] = "/tmp/mega-test-XXXXXX";

/* Writes a file with one array of strings "AAAAAAAA" and one tensor. *string, *name and *blocks
 * become the places of the middle string's length, of the length of the tensor's name, and of its
 * number of blocks. */
static size_t write_file(size_t *string, size_t *name, size_t *blocks)
{
    static const char *texts[STRINGS];
    static const float numbers[64];
    MegaTensorDecl decl = {.name = "a-tensor", .dtype = MEGA_F32, .rank = 1, .shape = {64},
                           .tied_to = -1};
    MegaError err = {0};
    MegaWriter *writer;
    MegaMeta *meta = mega_meta_new();
    struct { size_t size; uint8_t bytes[1 << 20]; } *file = calloc(1, sizeof *file);
    for (int i = 0; i < STRINGS; i++)
        texts[i] = "AAAAAAAA";
    assert_int_equal(mega_meta_set_strings(meta, "texts", texts, STRINGS), 0);
    assert_int_equal(mega_writer_new(&writer, path, meta, &decl, 1, true, &err), 0);
    assert_int_equal(mega_writer_tensor(writer, numbers, sizeof numbers, &err), 0);
    assert_int_equal(mega_writer_finish(writer, &err), 0);
    mega_writer_free(writer);
    mega_meta_free(meta);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    file->size = fread(file->bytes, 1, sizeof file->bytes, in);
    fclose(in);
    /* Header, number of keys, key, type and number of strings come first; then 12 bytes per
     * string. */
    *string = MEGA_HEADER_SIZE + 4 + 2 + 5 + 1 + 4 + STRINGS / 2 * 12;
    assert_int_equal(mega_load_u32(file->bytes + *string), 8);
    *name = (size_t)mega_load_u64(file->bytes + 32);
    assert_int_equal(mega_load_u16(file->bytes + *name), 8);
    /* Name, type, encoding, rank, one dimension, span, size, checksum and size of a block come
     * first. */
    *blocks = *name + 2 + 8 + 3 + 8 + 24 + 4 + 4;
    assert_int_equal(mega_load_u32(file->bytes + *blocks), 1);
    size_t size = file->size;
    free(file);
    return size;
}

/* Starts a process that flips the 32 bits at `place` between their value and `other`. */
static pid_t flip(size_t size, size_t place, uint32_t other)
{
    pid_t parent = getpid(), child = fork();
    if (child != 0)
        return child;
    int fd = open(path, O_RDWR);
    uint8_t *file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint32_t own = mega_load_u32(file + place);
    while (getppid() == parent)
        for (int i = 0; i < 100000; i++) {
            memcpy(file + place, i % 2 ? &own : &other, sizeof own);
            __asm__ volatile("" ::: "memory");
            for (volatile int wait = i % 512; wait > 0; wait--)
                ;
        }
    _exit(0);
}

/* Opens the file again and again; an opened file must have the contents that were written. */
static void open_while_flipping(size_t size, size_t place, uint32_t other)
{
    int fd = open(path, O_RDONLY);
    const uint8_t *file = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(file != MAP_FAILED);
    pid_t child = flip(size, place, other);
    assert_true(child > 0);
    while (mega_load_u32(file + place) != other) /* wait until it has begun */
        usleep(100);
    for (int i = 0; i < OPENINGS; i++) {
        MegaError err = {0};
        MegaFile *opened = NULL;
        float numbers[64];
        int code = mega_file_open(&opened, path, &err);
        if (code) {
            assert_int_equal(code, MEGA_ERR_FORMAT);
            continue;
        }
        const MegaMetaValue *texts = mega_meta_find(mega_file_meta(opened), "texts");
        assert_int_equal(texts->count, STRINGS);
        assert_string_equal(texts->strings[STRINGS / 2], "AAAAAAAA");
        const MegaTensor *tensor = mega_file_find(opened, "a-tensor");
        assert_non_null(tensor);
        assert_int_equal(tensor->block_count, 1);
        assert_int_equal(mega_file_read(opened, tensor, numbers, &err), 0);
        mega_file_close(opened);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    munmap((void *)(uintptr_t)file, size);
    close(fd);
}

static void test_changing_file(void **state)
{
    (void)state;
    size_t string, name, blocks;
    size_t size = write_file(&string, &name, &blocks);
    open_while_flipping(size, string, 1000000);
    open_while_flipping(size, name, 0x61614000);
    open_while_flipping(size, blocks, 1000000);
}

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_changing_file, make_path, remove_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
