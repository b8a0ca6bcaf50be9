/* rows_file: the files that LevelDB keeps in a data directory. */
#ifndef RINGFS_TESTS_UNIT_NODE_ROWS_FILE_H
#define RINGFS_TESTS_UNIT_NODE_ROWS_FILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The path of one of the files of the rows with this suffix, of which there is one at least;
 * *ret_n (may be NULL) = how many there are. Valid until the next call. */
static inline const char *rows_file(const char *data_directory, const char *suffix,
                                    uint32_t *ret_n) {
    static char path[512];
    char rows[128];
    uint32_t n_found = 0;
    snprintf(rows, sizeof rows, "%s/rows", data_directory);
    DIR *dir = opendir(rows);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t size = strlen(entry->d_name), n = strlen(suffix);
        if (size >= n && strcmp(entry->d_name + size - n, suffix) == 0) {
            snprintf(path, sizeof path, "%s/%s", rows, entry->d_name);
            n_found++;
        }
    }
    closedir(dir);
    assert_true(n_found > 0);
    if (ret_n) {
        *ret_n = n_found;
    }
    return path;
}

#endif
