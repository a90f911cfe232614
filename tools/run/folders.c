/*
 * folders.c - see folders.h.
 */
#include "tools/run/folders.h"

#include <errno.h>
#include <fts.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

bool is_folder(const char *path)
{
    struct stat info;
    return strcmp(path, "-") != 0 && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool visit(const FolderVisitor *visitor, FTS *walk, FTSENT *entry, size_t *files)
{
    const bool hidden = entry->fts_level > 0 && entry->fts_name[0] == '.';
    switch (entry->fts_info) {
    case FTS_D:
        if (hidden)
            fts_set(walk, entry, FTS_SKIP);
        return true;
    case FTS_F:
        *files += !hidden;
        return hidden || visitor->take(visitor->context, entry->fts_path);
    case FTS_SLNONE:
        *files += !hidden;
        if (!hidden)
            visitor->fail(visitor->context, entry->fts_path, "a link that leads nowhere");
        return true;
    case FTS_ERR:
    case FTS_DNR:
    case FTS_NS:
        visitor->fail(visitor->context, entry->fts_path, strerror(entry->fts_errno));
        return true;
    default: return true; /* FTS_DP, cycles of links, devices */
    }
}

bool walk_folder(const char *path, const FolderVisitor *visitor)
{
    char *const roots[] = {(char *)path, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    bool going = true;
    size_t files = 0;
    if (!walk) {
        visitor->fail(visitor->context, path, strerror(errno));
        return true;
    }
    for (FTSENT *entry; going && (entry = fts_read(walk));)
        going = visit(visitor, walk, entry, &files);
    fts_close(walk);
    if (going && files == 0)
        visitor->fail(visitor->context, path, "there is no file in this folder");
    return going;
}
