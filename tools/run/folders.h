/*
 * folders.h - goes through the files of a folder.
 */
#ifndef MEGA_FOLDERS_H
#define MEGA_FOLDERS_H

#include <stdbool.h>

/* Receives what is found. */
typedef struct FolderVisitor {
    /* Takes the path of a file; returns false if no further one is wanted. */
    bool (*take)(void *context, const char *path);
    /* Is told of a path that cannot be read, and why. */
    void (*fail)(void *context, const char *path, const char *reason);
    void *context;
} FolderVisitor;

/* Returns whether a path is a folder; "-" is none. */
bool is_folder(const char *path);
/* Visits all files of a folder and of the folders in it, in the order of their names. Names that
 * begin with a dot are skipped, and links are followed. Returns false if a file was the last one
 * wanted. */
bool walk_folder(const char *path, const FolderVisitor *visitor);

#endif
