/* A folder of its own for each case, and whole files in one call. */
#ifndef TG_TESTS_FILES_H
#define TG_TESTS_FILES_H

#include "layers/rig.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path_buffer[4][512];
static int path_turn;

UNUSED static const char *in_folder(const char *name)
{
    path_turn = (path_turn + 1) % 4;
    snprintf(path_buffer[path_turn], sizeof *path_buffer, "%s/%s", folder, name);
    return path_buffer[path_turn];
}

UNUSED static size_t files_in_folder(void)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

UNUSED static void folder_open(void)
{
    rig_open();
    strcpy(folder, "tg-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

UNUSED static void folder_close(void)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlink(in_folder(e->d_name));
    closedir(d);
    rmdir(folder);
    rig_close();
}

UNUSED static void write_whole(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

/* malloc'd */
UNUSED static unsigned char *read_whole(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s", path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*n + 1);
    ck_assert_uint_eq(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

#endif
