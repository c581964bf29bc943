/* A locale whose decimal point is a comma, made where it is used: what is installed need not have one. */
#ifndef TG_TESTS_COMMA_H
#define TG_TESTS_COMMA_H

#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* LC_NUMERIC as glibc reads it below LOCPATH: a number for the category, then where each of six fields is:
 * point, separator of thousands, grouping, point and separator as wide characters, code set. */
static const struct {
    uint32_t magic, fields, at[6];
    char point[2], none[2];
    uint32_t wide_point, wide_none;
    char code_set[8];
} comma_numbers = {0x20031115u ^ (uint32_t)LC_NUMERIC,
                   6,
                   {32, 34, 35, 36, 40, 44},
                   ",",
                   "",
                   ',',
                   0,
                   "UTF-8"};

/* Sets it for the process; false where this C library cannot. */
static bool comma_begin(void)
{
    char folder[] = "comma-XXXXXX", path[64];
    if (!mkdtemp(folder))
        return false;
    snprintf(path, sizeof path, "%s/comma", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/comma/LC_NUMERIC", folder);
    FILE *f = fopen(path, "wb");
    if (f) {
        fwrite(&comma_numbers, sizeof comma_numbers, 1, f);
        fclose(f);
    }
    setenv("LOCPATH", folder, 1);
    const bool set = setlocale(LC_NUMERIC, "comma") && !strcmp(localeconv()->decimal_point, ",");
    unsetenv("LOCPATH");
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    rmdir(folder);
    return set || (setlocale(LC_NUMERIC, "de_DE.UTF-8") && !strcmp(localeconv()->decimal_point, ","));
}

static void comma_end(void)
{
    setlocale(LC_NUMERIC, "C");
}

#endif
