/* The safetensors container: round trips, and every way in which a file can be wrong. */
#include "training/files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const float f32[] = {1, -2, 3.5f, 4, 5, 6};
static const double f64[] = {0.1, 0.2};
static const int64_t i64[] = {7};
static const uint8_t flags[] = {1, 0, 1};
static const tg_file_tensor tensors[] = {
    {.name = "flags", .dtype = TG_BOOL, .ndim = 1, .dim = {3}, .data = flags, .bytes = sizeof flags},
    {.name = "b.weight", .dtype = TG_F32, .ndim = 2, .dim = {2, 3}, .data = f32, .bytes = sizeof f32},
    {.name = "count", .dtype = TG_I64, .ndim = 0, .data = i64, .bytes = sizeof i64},
    {.name = "äöü \"quoted\"", .dtype = TG_F64, .ndim = 1, .dim = {2}, .data = f64, .bytes = sizeof f64},
    {.name = "empty", .dtype = TG_F32, .ndim = 2, .dim = {0, 5}, .data = NULL, .bytes = 0},
};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };
static const char *const keys[] = {"format", "note"}, *const values[] = {"pt", "two\nlines"};

static void write_good(const char *path)
{
    ck_assert_msg(tg_safetensors_write(rt, path, tensors, N_TENSORS, keys, values, 2) == TG_OK, "%s",
                  tg_error_message());
}

static void check_good(const char *path)
{
    tg_safetensors *file;
    ck_assert_msg(tg_safetensors_open(&file, rt, path) == TG_OK, "%s", tg_error_message());
    ck_assert_uint_eq(tg_safetensors_count(file), N_TENSORS);
    for (size_t i = 0; i < N_TENSORS; i++) {
        const tg_file_tensor *t = tg_safetensors_find(file, tensors[i].name);
        ck_assert_ptr_nonnull(t);
        ck_assert_int_eq(t->dtype, tensors[i].dtype);
        ck_assert_int_eq(t->ndim, tensors[i].ndim);
        ck_assert_mem_eq(t->dim, tensors[i].dim, sizeof t->dim);
        ck_assert_uint_eq(t->bytes, tensors[i].bytes);
        ck_assert_uint_eq((uintptr_t)t->data % 64, 0);
        if (t->bytes)
            ck_assert_mem_eq(t->data, tensors[i].data, t->bytes);
    }
    ck_assert_str_eq(tg_safetensors_metadata(file, "format"), "pt");
    ck_assert_str_eq(tg_safetensors_metadata(file, "note"), "two\nlines");
    ck_assert_ptr_null(tg_safetensors_metadata(file, "none"));
    ck_assert_ptr_null(tg_safetensors_find(file, "none"));
    ck_assert_ptr_null(tg_safetensors_at(file, N_TENSORS));
    tg_safetensors_close(file);
}

START_TEST(round_trip)
{
    const char *path = in_folder("x.safetensors");
    write_good(path);
    check_good(path);
    write_good(path); /* over the old one */
    check_good(path);
    ck_assert_uint_eq(files_in_folder(), 1);
    size_t n;
    unsigned char *bytes = read_whole(path, &n);
    uint64_t header = 0;
    memcpy(&header, bytes, 8);
    ck_assert_uint_eq(header % 8, 0);
    ck_assert_int_eq(bytes[8], '{');
    free(bytes);
    tg_safetensors *file;
    ck_assert_int_eq(tg_safetensors_write(rt, path, NULL, 0, NULL, NULL, 0), TG_OK);
    ck_assert_int_eq(tg_safetensors_open(&file, rt, path), TG_OK);
    ck_assert_uint_eq(tg_safetensors_count(file), 0);
    tg_safetensors_close(file);
    tg_safetensors_close(NULL);
}
END_TEST

START_TEST(links_and_permissions_stay)
{
    struct stat st;
    write_good(in_folder("real"));
    ck_assert_int_eq(chmod(in_folder("real"), 0640), 0);
    ck_assert_int_eq(symlink("real", in_folder("link")), 0);
    write_good(in_folder("link"));
    ck_assert_int_eq(lstat(in_folder("link"), &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert_int_eq(stat(in_folder("real"), &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0640);
    check_good(in_folder("link"));
}
END_TEST

/* -- bad files ------------------------------------------------------------------------------------------- */
static void refused_at(const char *path, tg_status want, const char *word)
{
    tg_safetensors *file = (tg_safetensors *)1;
    tg_status got = tg_safetensors_open(&file, rt, path);
    ck_assert_msg(got == want, "%s, expected %s: %s", tg_status_name(got), tg_status_name(want),
                  got ? tg_error_message() : "");
    ck_assert_msg(!word || strstr(tg_error_message(), word), "\"%s\" has no \"%s\"", tg_error_message(),
                  word);
    ck_assert_ptr_null(file);
}

START_TEST(cut_short_at_every_byte)
{
    size_t n;
    write_good(in_folder("x"));
    unsigned char *bytes = read_whole(in_folder("x"), &n);
    for (size_t k = 0; k < n; k++) {
        write_whole(in_folder("x"), bytes, k);
        refused_at(in_folder("x"), TG_EFORMAT, "cut short");
    }
    unsigned char *longer = malloc(n + 1);
    memcpy(longer, bytes, n);
    longer[n] = 0;
    write_whole(in_folder("x"), longer, n + 1);
    refused_at(in_folder("x"), TG_EFORMAT, "the file has");
    free(longer);
    free(bytes);
}
END_TEST

/* Bits of the length and the header flipped: an error or a file that reads whole, never a crash. */
START_TEST(flipped_bits)
{
    size_t n;
    write_good(in_folder("x"));
    unsigned char *bytes = read_whole(in_folder("x"), &n);
    uint64_t header = 0;
    memcpy(&header, bytes, 8);
    for (size_t k = 0; k < (8 + header) * 8; k += 5) {
        tg_safetensors *file = NULL;
        bytes[k / 8] ^= (unsigned char)(1u << k % 8);
        write_whole(in_folder("x"), bytes, n);
        bytes[k / 8] ^= (unsigned char)(1u << k % 8);
        tg_status status = tg_safetensors_open(&file, rt, in_folder("x"));
        ck_assert_msg(status == TG_OK || status == TG_EFORMAT || status == TG_EUNSUPPORTED, "%s",
                      tg_error_message());
        volatile unsigned sum = 0;
        for (size_t i = 0; i < tg_safetensors_count(file); i++) {
            const tg_file_tensor *t = tg_safetensors_at(file, i);
            for (size_t b = 0; b < t->bytes; b++)
                sum = sum + ((const unsigned char *)t->data)[b];
        }
        tg_safetensors_close(file);
    }
    free(bytes);
}
END_TEST

#define ENTRY(NAME, DTYPE, SHAPE, FROM, TO)                                                                  \
    "\"" NAME "\":{\"dtype\":\"" DTYPE "\",\"shape\":" SHAPE ",\"data_offsets\":[" FROM "," TO "]}"
static const struct {
    const char *header;
    size_t data;
    tg_status status;
    const char *word;
} headers[] = {
    {"{" ENTRY("a", "F32", "[2]", "0", "8") "}", 8, TG_OK, NULL},
    {"{" ENTRY("a", "F32", "[2]", "0",
               "8") ",\"extra\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9],\"more\":1}}   ",
     9, TG_OK, NULL},
    {"{" ENTRY("a", "F32", "[]", "0", "4") "}", 4, TG_OK, NULL},
    {"{" ENTRY("b", "F32", "[1]", "4", "8") "," ENTRY("a", "F32", "[1]", "0", "4") "}", 8, TG_OK, NULL},
    {"{" ENTRY("a", "F32", "[2]", "0", "8") "}", 7, TG_EFORMAT, "cut short"},
    {"{" ENTRY("a", "F32", "[2]", "0", "8") "}", 9, TG_EFORMAT, "the file has 9"},
    {"{" ENTRY("a", "F32", "[3]", "0", "8") "}", 8, TG_EFORMAT, "shape and dtype make 12"},
    {"{" ENTRY("a", "F64", "[2]", "0", "8") "}", 8, TG_EFORMAT, "shape and dtype make 16"},
    {"{" ENTRY("a", "F32", "[2]", "8", "0") "}", 8, TG_EFORMAT, "end before"},
    {"{" ENTRY("a", "F32", "[2]", "-8", "0") "}", 8, TG_EFORMAT, "no offset"},
    {"{" ENTRY("a", "F32", "[2]", "0", "8.0") "}", 8, TG_EFORMAT, "no offset"},
    {"{" ENTRY("a", "F32", "[-2]", "0", "8") "}", 8, TG_EFORMAT, "no size"},
    {"{" ENTRY("a", "F32", "[2.0]", "0", "8") "}", 8, TG_EFORMAT, "no size"},
    {"{" ENTRY("a", "F32", "[\"2\"]", "0", "8") "}", 8, TG_EFORMAT, "no size"},
    {"{" ENTRY("a", "F32", "2", "0", "8") "}", 8, TG_EFORMAT, "shape"},
    {"{" ENTRY("a", "F32", "[4294967296,4294967296,2]", "0", "8") "}", 8, TG_EFORMAT, "overflow"},
    {"{" ENTRY("a", "F32", "[4611686018427387904]", "0", "0") "}", 0, TG_EFORMAT, "overflow"},
    {"{" ENTRY("a", "F32", "[9223372036854775808]", "0", "8") "}", 8, TG_EFORMAT, "JSON"},
    {"{" ENTRY("a", "F32", "[2]", "0", "18446744073709551615") "}", 8, TG_EFORMAT, "JSON"},
    {"{" ENTRY("a", "F32", "[2]", "0", "9223372036854775807") "}", 8, TG_EFORMAT, "cut short"},
    {"{" ENTRY("a", "F32", "[0,4611686018427387904,9]", "0", "0") "}", 0, TG_OK, NULL},
    {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("b", "F32", "[2]", "4", "12") "}", 12, TG_EFORMAT,
     "inside another"},
    {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("b", "F32", "[2]", "0", "8") "}", 8, TG_EFORMAT,
     "inside another"},
    {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("b", "F32", "[2]", "12", "20") "}", 20, TG_EFORMAT,
     "gap"},
    {"{" ENTRY("a", "F32", "[2]", "4", "12") "}", 12, TG_EFORMAT, "gap"},
    {"{" ENTRY("a", "F32", "[2]", "0", "8") "," ENTRY("a", "F32", "[2]", "8", "16") "}", 16, TG_EFORMAT,
     "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TG_EFORMAT,
     "duplicate"},
    {"{" ENTRY("a", "F31", "[2]", "0", "8") "}", 8, TG_EFORMAT, "unknown dtype F31"},
    {"{" ENTRY("a", "I16", "[4]", "0", "8") "}", 8, TG_EUNSUPPORTED, "I16"},
    {"{" ENTRY("a", "U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1, TG_EUNSUPPORTED, "9 dimensions"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TG_EFORMAT, "dtype"},
    {"{\"a\":{\"dtype\":3,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, TG_EFORMAT, "dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, TG_EFORMAT, "shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, TG_EFORMAT, "data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, TG_EFORMAT, "data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, TG_EFORMAT, "data_offsets"},
    {"{\"a\":7}", 8, TG_EFORMAT, "not an object"},
    {"{\"__metadata__\":7}", 0, TG_EFORMAT, "__metadata__"},
    {"{\"__metadata__\":{\"a\":7}}", 0, TG_EFORMAT, "metadata value"},
    {"{}", 0, TG_OK, NULL},
    {"{}", 1, TG_EFORMAT, "the file has 1"},
    {"[]", 0, TG_EFORMAT, "begin with {"},
    {" {}", 0, TG_EFORMAT, "begin with {"},
    {"", 0, TG_EFORMAT, "begin with {"},
    {"{\"a\"", 0, TG_EFORMAT, "JSON"},
    {"{} x", 0, TG_EFORMAT, "JSON"},
    {"{\"\\u0000\":{}}", 0, TG_EFORMAT, "JSON"},
    {"{\"\xff\":{}}", 0, TG_EFORMAT, "JSON"},
};
enum { HEADERS = sizeof headers / sizeof *headers };

START_TEST(header)
{
    unsigned char bytes[1024] = {0};
    size_t length = strlen(headers[_i].header);
    bytes[0] = (unsigned char)length;
    bytes[1] = (unsigned char)(length >> 8);
    memcpy(bytes + 8, headers[_i].header, length);
    write_whole(in_folder("x"), bytes, 8 + length + headers[_i].data);
    if (headers[_i].status)
        refused_at(in_folder("x"), headers[_i].status, headers[_i].word);
    else {
        tg_safetensors *file;
        ck_assert_msg(tg_safetensors_open(&file, rt, in_folder("x")) == TG_OK, "%s: %s", headers[_i].header,
                      tg_error_message());
        tg_safetensors_close(file);
    }
}
END_TEST

START_TEST(lengths_that_lie)
{
    static const unsigned char longs[][8] = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0, 0, 0, 0, 0, 0, 0, 0x80},
        {0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {1, 0xe1, 0xf5, 5},
        {3},
        {0xff, 0xff, 0xff, 0xff},
    };
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++) {
        unsigned char bytes[10] = {0};
        memcpy(bytes, longs[i], 8);
        memcpy(bytes + 8, "{}", 2);
        write_whole(in_folder("x"), bytes, sizeof bytes);
        long calls = rig_calls;
        refused_at(in_folder("x"), TG_EFORMAT, "header of");
        ck_assert_int_le(rig_calls - calls, 1);
    }
}
END_TEST

START_TEST(not_readable)
{
    refused_at(in_folder("none"), TG_EIO, "No such file");
    refused_at(folder, TG_EIO, "regular");
    tg_safetensors *file;
    ck_assert_int_eq(tg_safetensors_open(&file, NULL, "x"), TG_EINVAL);
    ck_assert_int_eq(tg_safetensors_open(&file, rt, NULL), TG_EINVAL);
}
END_TEST

START_TEST(reading_out_of_memory)
{
    write_good(in_folder("x"));
    long live = rig_live, k;
    tg_status status = TG_ENOMEM;
    for (k = 1; status; k++) {
        tg_safetensors *file;
        rig_fail_at = rig_calls + k;
        status = tg_safetensors_open(&file, rt, in_folder("x"));
        rig_fail_at = 0;
        ck_assert(status == TG_OK || status == TG_ENOMEM);
        tg_safetensors_close(file);
        ck_assert_int_eq(rig_live, live);
    }
    ck_assert_int_ge(k, 5);
}
END_TEST

/* -- bad writes ------------------------------------------------------------------------------------------ */
START_TEST(refuses_to_write)
{
    const char *path = in_folder("x");
    tg_file_tensor t[2] = {tensors[1], tensors[1]};
    ck_assert_int_eq(tg_safetensors_write(rt, path, t, 2, NULL, NULL, 0), TG_EINVAL);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "b.weight"));
    t[0].name = "__metadata__";
    ck_assert_int_eq(tg_safetensors_write(rt, path, t, 1, NULL, NULL, 0), TG_EINVAL);
    t[0].name = NULL;
    ck_assert_int_eq(tg_safetensors_write(rt, path, t, 1, NULL, NULL, 0), TG_EINVAL);
    t[0].name = "\xff";
    ck_assert_int_eq(tg_safetensors_write(rt, path, t, 1, NULL, NULL, 0), TG_EINVAL);
    t[0] = tensors[1];
    t[0].bytes--;
    ck_assert_int_eq(tg_safetensors_write(rt, path, t, 1, NULL, NULL, 0), TG_EINVAL);
    t[0] = tensors[1];
    t[0].ndim = 9;
    ck_assert_int_eq(tg_safetensors_write(rt, path, t, 1, NULL, NULL, 0), TG_ESHAPE);
    t[0] = tensors[1];
    t[0].dtype = (tg_dtype)99;
    ck_assert_int_eq(tg_safetensors_write(rt, path, t, 1, NULL, NULL, 0), TG_EDTYPE);
    const char *bad = "\xff";
    ck_assert_int_eq(tg_safetensors_write(rt, path, NULL, 0, &keys[0], &bad, 1), TG_EINVAL);
    ck_assert_int_eq(tg_safetensors_write(rt, path, NULL, 0, &bad, &keys[0], 1), TG_EINVAL);
    ck_assert_int_eq(tg_safetensors_write(NULL, path, NULL, 0, NULL, NULL, 0), TG_EINVAL);
    ck_assert_int_eq(tg_safetensors_write(rt, NULL, NULL, 0, NULL, NULL, 0), TG_EINVAL);
    ck_assert_int_eq(tg_safetensors_write(rt, "", NULL, 0, NULL, NULL, 0), TG_EIO);
    ck_assert_int_eq(tg_safetensors_write(rt, folder, NULL, 0, NULL, NULL, 0), TG_EIO);
    ck_assert_int_eq(tg_safetensors_write(rt, in_folder("no/such/folder"), NULL, 0, NULL, NULL, 0), TG_EIO);
    ck_assert_int_eq(tg_safetensors_write(rt, "/dev/null", NULL, 0, NULL, NULL, 0), TG_EIO);
    ck_assert_uint_eq(files_in_folder(), 0);
}
END_TEST

START_TEST(writing_out_of_memory)
{
    write_good(in_folder("x"));
    long live = rig_live;
    tg_status status = TG_ENOMEM;
    for (long k = 1; status; k++) {
        rig_fail_at = rig_calls + k;
        status = tg_safetensors_write(rt, in_folder("x"), tensors, 2, NULL, NULL, 0);
        rig_fail_at = 0;
        if (status)
            check_good(in_folder("x"));
        ck_assert_uint_eq(files_in_folder(), 1);
        ck_assert_int_eq(rig_live, live);
    }
}
END_TEST

/* Runs in a child, so that its limits and its user are its own. 0: as wanted; 1: not; 2: cannot be tried
 * here. */
static int in_child(int (*body)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static int write_beyond_the_limit(void)
{
    static float large[65536];
    tg_file_tensor t = {
        .name = "large", .dtype = TG_F32, .ndim = 1, .dim = {65536}, .data = large, .bytes = sizeof large};
    struct rlimit limit = {100000, 100000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        return 2;
    signal(SIGXFSZ, SIG_DFL); /* would end the process */
    tg_status status = tg_safetensors_write(rt, in_folder("x"), &t, 1, NULL, NULL, 0);
    return status == TG_EIO && strstr(tg_error_message(), strerror(EFBIG)) ? 0 : 1;
}

START_TEST(a_full_disk_leaves_the_old_file)
{
    write_good(in_folder("x"));
    ck_assert_int_eq(in_child(write_beyond_the_limit), 0);
    check_good(in_folder("x"));
    ck_assert_uint_eq(files_in_folder(), 1);
}
END_TEST

static int without_roots_powers(void)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return 2;
    tg_safetensors *file;
    if (tg_safetensors_write(rt, in_folder("x"), tensors, 1, NULL, NULL, 0) != TG_EIO ||
        !strstr(tg_error_message(), strerror(EACCES)))
        return 1;
    return tg_safetensors_open(&file, rt, in_folder("x")) == TG_EIO &&
                   strstr(tg_error_message(), strerror(EACCES))
               ? 0
               : 1;
}

START_TEST(no_permission)
{
    write_good(in_folder("x"));
    chmod(in_folder("x"), 0);
    chmod(folder, 0555);
    int got = in_child(without_roots_powers);
    chmod(folder, 0755);
    chmod(in_folder("x"), 0644);
    if (got == 2)
        TG_SKIP("root's powers cannot be given up here");
    ck_assert_int_eq(got, 0);
    check_good(in_folder("x"));
    ck_assert_uint_eq(files_in_folder(), 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("safetensors");
    TCase *t = tcase_create("safetensors");
    tcase_add_checked_fixture(t, folder_open, folder_close);
    tcase_add_test(t, round_trip);
    tcase_add_test(t, links_and_permissions_stay);
    tcase_add_test(t, cut_short_at_every_byte);
    tcase_add_test(t, flipped_bits);
    tcase_add_loop_test(t, header, 0, HEADERS);
    tcase_add_test(t, lengths_that_lie);
    tcase_add_test(t, not_readable);
    tcase_add_test(t, reading_out_of_memory);
    tcase_add_test(t, refuses_to_write);
    tcase_add_test(t, writing_out_of_memory);
    tcase_add_test(t, a_full_disk_leaves_the_old_file);
    tcase_add_test(t, no_permission);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
