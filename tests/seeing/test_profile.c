/* TAPEGRAD_PROFILE: valid JSON at any moment, and what an event says. */
#include "support/check_main.h"

#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include <tapegrad/tapegrad.h>

static char path[64];
static tg_runtime *rt;
static tg_tape *tape;
static int line; /* of the call that step makes */

static void setup(void)
{
    snprintf(path, sizeof path, "profile-%d.json", (int)getpid());
    remove(path);
    setenv("TAPEGRAD_PROFILE", path, 1);
    ck_assert_msg(tg_runtime_open(&rt, &(tg_runtime_options){.backend = "reference"}) == TG_OK, "%s",
                  tg_error_message());
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
}

static void teardown(void)
{
    tg_tape_close(tape);
    tg_runtime_close(rt);
    unsetenv("TAPEGRAD_PROFILE");
    remove(path);
}

static void step(tg_tape *t)
{
    tg_tensor *x = tg_input(t, TG_F32, (int64_t[]){2, 3}, 2, (float[]){1, 2, 3, 4, 5, 6});
    tg_tensor_set_requires_grad(x, true);
    tg_tensor *y = tg_sigmoid(t, x);
    line = __LINE__ - 1;
    ck_assert_int_eq(tg_backward(t, tg_sum(t, tg_transpose(t, y, 0, 1))), TG_OK);
    tg_tape_reset(t);
}

static json_t *events_of(const char *file)
{
    json_error_t error;
    json_t *all = json_load_file(file, 0, &error);
    ck_assert_msg(all != NULL, "line %d: %s", error.line, error.text);
    json_t *list = json_object_get(all, "traceEvents");
    ck_assert(json_is_array(list));
    json_incref(list);
    json_decref(all);
    return list;
}

static const char *text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static json_t *events(void)
{
    return events_of(path);
}

/* The first event of this name, and how many there are. */
static json_t *find(json_t *list, const char *name, size_t *n)
{
    json_t *event, *found = NULL;
    size_t i, count = 0;
    json_array_foreach(list, i, event) if (!strcmp(text(event, "name"), name))
    {
        count++;
        found = found ? found : event;
    }
    if (n)
        *n = count;
    return found;
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

START_TEST(what_an_event_says)
{
    for (int i = 0; i < 3; i++)
        step(tape);
    tg_tape_close(tape);
    tape = NULL;
    json_t *list = events();
    size_t n;
    const json_t *e = find(list, "sigmoid", &n), *args = json_object_get(e, "args");
    char place[64];
    snprintf(place, sizeof place, "test_profile.c:%d", line);
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(text(e, "ph"), "X");
    ck_assert_str_eq(text(e, "cat"), "forward");
    ck_assert(number(e, "ts") >= 0 && number(e, "dur") > 0 && number(e, "tid") > 0 &&
              number(e, "pid") == getpid());
    ck_assert_msg(strstr(text(args, "place"), place) != NULL, "%s", text(args, "place"));
    ck_assert_str_eq(text(args, "in"), "f32[2, 3]");
    ck_assert_str_eq(text(args, "out"), "f32[2, 3]");
    ck_assert_str_eq(text(args, "backend"), "reference");
    ck_assert(*text(args, "implementation") && number(args, "bytes") == 48);
    e = find(list, "sigmoid_backward", &n);
    args = json_object_get(e, "args");
    ck_assert_uint_eq(n, 3);
    ck_assert_str_eq(text(e, "cat"), "backward");
    ck_assert_str_eq(text(args, "backward_of"), "sigmoid");
    ck_assert_msg(strstr(text(args, "place"), place) != NULL, "%s", text(args, "place"));
    const json_t *rule = find(list, "backward of sigmoid", &n);
    ck_assert_uint_eq(n, 3);
    ck_assert(number(rule, "ts") <= number(e, "ts") &&
              number(rule, "ts") + number(rule, "dur") >= number(e, "ts") + number(e, "dur"));
    ck_assert_ptr_nonnull(find(list, "thread_name", NULL));
    ck_assert(number(json_object_get(find(list, "permute", NULL), "args"), "bytes") == 0); /* a view */
    json_decref(list);
}
END_TEST

/* More than a buffer, from two tapes, and a program that is killed on its way. */
START_TEST(valid_at_any_moment)
{
    tg_tape *other;
    json_decref(events());
    ck_assert_int_eq(tg_tape_open(&other, rt), TG_OK);
    for (int i = 0; i < 200; i++) {
        step(tape);
        step(other);
        if (i % 50 == 0)
            json_decref(events());
    }
    tg_tape_close(other);
    json_t *list = events();
    size_t n;
    find(list, "sigmoid", &n);
    ck_assert_uint_gt(n, 300);
    json_decref(list);
    pid_t child = fork();
    if (!child) { /* of the parent's tapes it writes nothing; its own file holds when it is killed */
        for (int i = 0; i < 100; i++)
            step(tape);
        setenv("TAPEGRAD_PROFILE", "profile-killed.json", 1);
        tg_runtime *own;
        tg_tape *t;
        if (tg_runtime_open(&own, NULL) || tg_tape_open(&t, own))
            _exit(1);
        for (int i = 0; i < 200; i++)
            step(t);
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
    json_decref(events());
    list = events_of("profile-killed.json");
    remove("profile-killed.json");
    ck_assert_uint_gt(json_array_size(list), 300);
    json_decref(list);
    /* An error may be the last that a program says. */
    step(tape);
    ck_assert_ptr_null(tg_sigmoid(tape, NULL));
    list = events();
    ck_assert_ptr_nonnull(find(list, "backward of sum", NULL));
    json_decref(list);
}
END_TEST

/* One file for all runtimes of a process. */
START_TEST(goes_on)
{
    tg_runtime *other;
    step(tape);
    tg_tape_close(tape);
    tg_runtime_close(rt);
    ck_assert_int_eq(tg_runtime_open(&rt, NULL), TG_OK);
    ck_assert_int_eq(tg_runtime_open(&other, NULL), TG_OK);
    ck_assert_int_eq(tg_tape_open(&tape, rt), TG_OK);
    step(tape);
    tg_tape_close(tape);
    ck_assert_int_eq(tg_tape_open(&tape, other), TG_OK);
    step(tape);
    tg_tape_close(tape);
    tape = NULL;
    tg_runtime_close(other);
    json_t *list = events();
    size_t n;
    find(list, "sigmoid", &n);
    ck_assert_uint_eq(n, 3);
    json_decref(list);
}
END_TEST

START_TEST(not_writable)
{
    tg_runtime *other;
    setenv("TAPEGRAD_PROFILE", "no-such-folder/x.json", 1);
    ck_assert_int_eq(tg_runtime_open(&other, NULL), TG_EIO);
    ck_assert_ptr_nonnull(strstr(tg_error_message(), "TAPEGRAD_PROFILE=no-such-folder/x.json"));
    setenv("TAPEGRAD_PROFILE", path, 1);
}
END_TEST

START_TEST(the_tool_sums)
{
    const char *tool = getenv("TAPEGRAD_TOOL");
    if (!tool || !*tool)
        return;
    for (int i = 0; i < 5; i++)
        step(tape);
    tg_tape_close(tape);
    tape = NULL;
    char command[600], row[300];
    bool found = false;
    snprintf(command, sizeof command, "env -u TAPEGRAD_PROFILE %s profile %s", tool, path);
    FILE *f = popen(command, "r");
    while (f && fgets(row, sizeof row, f)) {
        char place[64];
        double ms, share;
        long long calls;
        snprintf(place, sizeof place, "test_profile.c:%d", line);
        if (strstr(row, "sigmoid_backward, backward of sigmoid") && strstr(row, place)) {
            ck_assert_int_eq(sscanf(row, "%lf %lf%% %lld", &ms, &share, &calls), 3);
            found = ms > 0 && share > 0 && share < 100 && calls == 5;
        }
    }
    ck_assert_int_eq(f ? pclose(f) : -1, 0);
    ck_assert(found);
    snprintf(command, sizeof command, "env -u TAPEGRAD_PROFILE %s profile /dev/null 2>/dev/null", tool);
    ck_assert_int_ne(system(command), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("profile");
    TCase *c = tcase_create("profile");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_an_event_says);
    tcase_add_test(c, valid_at_any_moment);
    tcase_add_test(c, goes_on);
    tcase_add_test(c, not_writable);
    tcase_add_test(c, the_tool_sums);
    suite_add_tcase(s, c);
    return s;
}

TG_TEST_MAIN(suite)
