/* IDX files, good and bad, plain and gzip. */
#include "training/files.h"

#include <zlib.h>

enum { COUNT = 2 * 3 * 4 };

static size_t good(unsigned char *out)
{
    static const unsigned char header[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4};
    memcpy(out, header, sizeof header);
    for (int i = 0; i < COUNT; i++)
        out[sizeof header + (size_t)i] = (unsigned char)(i * 7);
    return sizeof header + COUNT;
}

static void write_gzip(const char *path, const void *bytes, size_t n)
{
    gzFile f = gzopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(gzwrite(f, bytes, (unsigned)n), (int)n);
    ck_assert_int_eq(gzclose(f), Z_OK);
}

static void refused(const char *path, tg_status want, const char *word)
{
    tg_idx idx;
    memset(&idx, 1, sizeof idx);
    tg_status got = tg_idx_read(&idx, rt, path);
    ck_assert_msg(got == want, "%s, expected %s: %s", tg_status_name(got), tg_status_name(want),
                  tg_error_message());
    ck_assert_msg(!word || strstr(tg_error_message(), word), "\"%s\" has no \"%s\"", tg_error_message(),
                  word);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), path));
    ck_assert_ptr_null(idx.data);
    ck_assert_int_eq(idx.ndim, 0);
}

static void refused_both(const unsigned char *bytes, size_t n, const char *word)
{
    write_whole(in_folder("bad"), bytes, n);
    refused(in_folder("bad"), TG_EFORMAT, word);
    write_gzip(in_folder("bad.gz"), bytes, n);
    refused(in_folder("bad.gz"), TG_EFORMAT, NULL);
}

static void check_good(const char *path)
{
    tg_idx idx;
    unsigned char bytes[64];
    size_t n = good(bytes);
    ck_assert_msg(tg_idx_read(&idx, rt, path) == TG_OK, "%s", tg_error_message());
    ck_assert_int_eq(idx.ndim, 3);
    ck_assert_int_eq(idx.dim[0], 2);
    ck_assert_int_eq(idx.dim[1], 3);
    ck_assert_int_eq(idx.dim[2], 4);
    ck_assert_mem_eq(idx.data, bytes + n - COUNT, COUNT);
    tg_idx_free(&idx);
    ck_assert_ptr_null(idx.data);
    tg_idx_free(&idx);
}

START_TEST(reads)
{
    unsigned char bytes[64];
    size_t n = good(bytes);
    write_whole(in_folder("x"), bytes, n);
    check_good(in_folder("x"));
    write_gzip(in_folder("x.gz"), bytes, n);
    check_good(in_folder("x.gz"));
    /* Two gzip members one after the other are one file. */
    write_gzip(in_folder("a"), bytes, 20);
    write_gzip(in_folder("b"), bytes + 20, n - 20);
    size_t na, nb;
    unsigned char *a = read_whole(in_folder("a"), &na), *b = read_whole(in_folder("b"), &nb), both[512];
    memcpy(both, a, na);
    memcpy(both + na, b, nb);
    write_whole(in_folder("both.gz"), both, na + nb);
    check_good(in_folder("both.gz"));
    free(a);
    free(b);
}
END_TEST

START_TEST(empty_dims)
{
    static const unsigned char bytes[] = {0, 0, 8, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
    tg_idx idx;
    write_whole(in_folder("x"), bytes, sizeof bytes);
    ck_assert_int_eq(tg_idx_read(&idx, rt, in_folder("x")), TG_OK);
    ck_assert_int_eq(idx.dim[0], 0);
    tg_idx_free(&idx);
}
END_TEST

START_TEST(cut_short_anywhere)
{
    unsigned char bytes[64];
    size_t n = good(bytes);
    for (size_t k = 0; k < n; k++) {
        write_whole(in_folder("x"), bytes, k);
        refused(in_folder("x"), TG_EFORMAT, "cut short");
    }
    write_gzip(in_folder("x.gz"), bytes, n);
    size_t packed;
    unsigned char *gz = read_whole(in_folder("x.gz"), &packed);
    for (size_t k = 1; k < packed; k++) {
        write_whole(in_folder("x"), gz, k);
        refused(in_folder("x"), TG_EFORMAT, NULL);
    }
    free(gz);
}
END_TEST

START_TEST(corrupt_gzip)
{
    /* Each bit flipped: an error or the same content (the header's time and flags carry none), never a crash.
     */
    unsigned char bytes[64];
    size_t n = good(bytes), packed, errors = 0;
    write_gzip(in_folder("x.gz"), bytes, n);
    unsigned char *gz = read_whole(in_folder("x.gz"), &packed);
    for (size_t k = 0; k < packed * 8; k++) {
        tg_idx idx;
        gz[k / 8] ^= (unsigned char)(1u << k % 8);
        write_whole(in_folder("x"), gz, packed);
        gz[k / 8] ^= (unsigned char)(1u << k % 8);
        tg_status status = tg_idx_read(&idx, rt, in_folder("x"));
        ck_assert(status == TG_OK || status == TG_EFORMAT);
        if (!status)
            ck_assert_mem_eq(idx.data, bytes + n - COUNT, COUNT);
        errors += status != TG_OK;
        tg_idx_free(&idx);
    }
    ck_assert_uint_gt(errors, packed * 8 / 2);
    /* Something behind the gzip data. */
    unsigned char longer[512];
    memcpy(longer, gz, packed);
    longer[packed] = 'x';
    write_whole(in_folder("x"), longer, packed + 1);
    refused(in_folder("x"), TG_EFORMAT, "left over");
    free(gz);
}
END_TEST

START_TEST(bad_headers)
{
    unsigned char bytes[64];
    size_t n = good(bytes);
    bytes[0] = 1;
    refused_both(bytes, n, "not an IDX file");
    good(bytes);
    bytes[2] = 0x0d; /* floats */
    refused_both(bytes, n, "element type 0x0d");
    good(bytes);
    bytes[3] = 0;
    refused_both(bytes, n, "0 dimensions");
    bytes[3] = 9;
    refused_both(bytes, n, "9 dimensions");
    good(bytes);
    bytes[7] = 3; /* more examples than there are */
    refused_both(bytes, n, "cut short");
    bytes[7] = 1; /* fewer */
    refused_both(bytes, n, "left over");
    good(bytes);
    memset(bytes + 4, 0xff, 12); /* 2⁹⁶ bytes */
    refused_both(bytes, n, "overflow");
    good(bytes);
    memset(bytes + 4, 0xff, 4); /* 5·10¹⁰ bytes: refused before anything is allocated */
    long calls = rig_calls;
    refused_both(bytes, n, "promise");
    ck_assert_int_le(rig_calls - calls, 8);
}
END_TEST

START_TEST(not_readable)
{
    refused(in_folder("none"), TG_EIO, "No such file");
    refused(folder, TG_EIO, "regular");
    tg_idx idx;
    ck_assert_int_eq(tg_idx_read(&idx, NULL, "x"), TG_EINVAL);
    ck_assert_int_eq(tg_idx_read(&idx, rt, NULL), TG_EINVAL);
    ck_assert_int_eq(tg_idx_read(NULL, rt, "x"), TG_EINVAL);
    tg_idx_free(NULL);
}
END_TEST

START_TEST(out_of_memory)
{
    unsigned char bytes[64];
    size_t n = good(bytes);
    write_gzip(in_folder("x.gz"), bytes, n);
    long live = rig_live;
    for (long k = 1;; k++) {
        tg_idx idx;
        rig_fail_at = rig_calls + k;
        tg_status status = tg_idx_read(&idx, rt, in_folder("x.gz"));
        rig_fail_at = 0;
        if (!status) {
            ck_assert_int_ge(k, 3);
            tg_idx_free(&idx);
            break;
        }
        ck_assert_int_eq(status, TG_ENOMEM);
        ck_assert_int_eq(rig_live, live);
    }
    ck_assert_int_eq(rig_live, live);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("idx");
    TCase *t = tcase_create("idx");
    tcase_add_checked_fixture(t, folder_open, folder_close);
    tcase_add_test(t, reads);
    tcase_add_test(t, empty_dims);
    tcase_add_test(t, cut_short_anywhere);
    tcase_add_test(t, corrupt_gzip);
    tcase_add_test(t, bad_headers);
    tcase_add_test(t, not_readable);
    tcase_add_test(t, out_of_memory);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
