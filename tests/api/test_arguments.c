/* NULL where a value is needed, sizes that overflow: each is an error with a sentence, and nothing has
 * changed. */
#include "api/rig.h"

#include <tapegrad/gradcheck.h>
#include <tapegrad/operator.h>

#define REFUSED(call)                                                                                        \
    do {                                                                                                     \
        ck_assert_msg((call) == TG_EINVAL, "%s", #call);                                                     \
        ck_assert_msg(strstr(tg_error_message(), "NULL"), "%s: %s", #call, tg_error_message());              \
        tg_tape_clear_error(tape);                                                                           \
    } while (0)

START_TEST(null_to_runtime_and_tensor)
{
    double x = 1;
    tg_tensor *t = vector(&x, 1), *none = NULL;
    tg_desc desc;
    int64_t n = 1;
    REFUSED(tg_runtime_open(NULL, NULL));
    tg_runtime *other = NULL;
    tg_runtime_options half = {.allocator = &(tg_allocator){0}};
    REFUSED(tg_runtime_open(&other, &half));
    REFUSED(tg_tape_open(NULL, rt));
    REFUSED(tg_tape_open(&(tg_tape *){NULL}, NULL));
    REFUSED(tg_seed(NULL, 1));
    REFUSED(tg_runtime_set_dtype(NULL, TG_F32));
    REFUSED(tg_runtime_set_threads(NULL, 1));
    ck_assert_int_eq(tg_runtime_dtype(NULL), TG_F32);
    ck_assert_int_eq(tg_runtime_threads(NULL), 0);
    ck_assert_str_eq(tg_runtime_backend(NULL), "");
    ck_assert_uint_eq(tg_runtime_backends(NULL, NULL, 0), 0);
    ck_assert_uint_gt(tg_runtime_backends(rt, NULL, 9), 0);
    tg_runtime_report(NULL, stderr);
    tg_runtime_report(rt, NULL);
    ck_assert_uint_eq(tg_runtime_random_state(NULL).draw, 0);
    tg_runtime_set_random_state(NULL, (tg_random_state){0});
    tg_runtime_close(NULL);

    REFUSED(tg_desc_make(NULL, TG_F32, &n, 1));
    REFUSED(tg_desc_make(&desc, TG_F32, NULL, 1));
    REFUSED(tg_tensor_create(NULL, rt, TG_F32, &n, 1));
    REFUSED(tg_tensor_create(&none, NULL, TG_F32, &n, 1));
    REFUSED(tg_tensor_create(&none, rt, TG_F32, NULL, 1));
    REFUSED(tg_tensor_wrap(NULL, rt, TG_F32, &n, NULL, 1, &x));
    REFUSED(tg_tensor_wrap(&none, NULL, TG_F32, &n, NULL, 1, &x));
    REFUSED(tg_tensor_wrap(&none, rt, TG_F32, &n, NULL, 1, NULL));
    ck_assert_ptr_null(none);
    tg_tensor_destroy(NULL);
    tg_discard(NULL);
    REFUSED(tg_tensor_desc(NULL, &desc));
    REFUSED(tg_tensor_desc(t, NULL));
    REFUSED(tg_tensor_read(NULL, &x, 8));
    REFUSED(tg_tensor_read(t, NULL, 8));
    REFUSED(tg_tensor_write(NULL, &x, 8));
    REFUSED(tg_tensor_write(t, NULL, 8));
    REFUSED(tg_item(NULL, &x));
    REFUSED(tg_item(t, NULL));
    REFUSED(tg_tensor_print(NULL, stderr));
    REFUSED(tg_tensor_print(t, NULL));
    REFUSED(tg_tensor_set_requires_grad(NULL, true));
    REFUSED(tg_fill(NULL, 1));
    REFUSED(tg_init_uniform(NULL, 0, 1));
    REFUSED(tg_init_normal(NULL, 0, 1));
    REFUSED(tg_init_kaiming_uniform(NULL, 1));
    REFUSED(tg_init_xavier_uniform(NULL, 1));
    tg_tensor_zero_grad(NULL);
    ck_assert(!tg_tensor_is_leaf(NULL) && !tg_tensor_requires_grad(NULL) && !tg_tensor_grad(NULL));
    ck_assert(!tg_tensor_is_alive(NULL) && !tg_tensor_runtime(NULL));
    ck_assert_int_eq(tg_tensor_ndim(NULL), 0);
    ck_assert_int_eq(tg_tensor_count(NULL), 0);
    tg_tensor_destroy(t);
}
END_TEST

START_TEST(null_to_tape)
{
    double x = 2;
    tg_tensor *t = vector(&x, 1), *g;
    const tg_operator *add = tg_operator_find(rt, "add"), *update = tg_operator_find(rt, "batch_norm_update");
    tg_tape_close(NULL);
    tg_tape_reset(NULL);
    ck_assert_ptr_null(tg_tape_runtime(NULL));
    ck_assert_int_eq(tg_tape_status(NULL), TG_EINVAL);
    ck_assert_ptr_nonnull(tg_tape_error(NULL));
    tg_tape_clear_error(NULL);
    ck_assert(!tg_tape_set_recording(NULL, true) && !tg_tape_recording(NULL));
    ck_assert_uint_eq(tg_tape_size(NULL), 0);
    ck_assert_uint_eq(tg_tape_random_state(NULL).draw, 0);
    tg_tape_set_random_state(NULL, (tg_random_state){0});
    tg_tape_print(NULL, stderr);
    tg_tape_print(tape, NULL);
    tg_tape_observe(NULL, NULL);
    ck_assert_uint_eq(tg_tape_count_runs(NULL, NULL, NULL), 0);
    REFUSED(tg_tape_set_threads(NULL, 1));
    REFUSED(tg_step_begin(NULL));
    REFUSED(tg_step_commit(NULL));
    tg_step_rollback(NULL);
    ck_assert_ptr_null(tg_input(NULL, TG_F64, NULL, 0, NULL));
    ck_assert_ptr_null(tg_scalar(NULL, TG_F64, 1));
    ck_assert_ptr_null(tg_detach(NULL, t));
    ck_assert_ptr_null(tg_detach(tape, NULL));
    fails_with(TG_EINVAL, "NULL");
    ck_assert_ptr_null(tg_input(tape, TG_F64, NULL, 1, &x));
    fails_with(TG_EINVAL, "tg_input: the dims of a tensor of 1 dims are NULL");
    REFUSED(tg_backward(NULL, t));
    REFUSED(tg_backward(tape, NULL));
    REFUSED(tg_backward_with(NULL, t, t, 0));
    REFUSED(tg_grad(NULL, t, NULL, &t, 1, &g, 0));
    REFUSED(tg_grad(tape, NULL, NULL, &t, 1, &g, 0));
    REFUSED(tg_grad(tape, t, NULL, NULL, 1, &g, 0));
    REFUSED(tg_grad(tape, t, NULL, &t, 1, NULL, 0));
    REFUSED(tg_apply(tape, NULL, &t, 1, NULL, NULL, &g));
    REFUSED(tg_apply(NULL, add, &t, 1, NULL, NULL, &g));
    REFUSED(tg_apply(tape, add, NULL, 2, NULL, NULL, &g));
    REFUSED(tg_stage(NULL, update, &t, 1, &x));
    REFUSED(tg_stage(tape, NULL, &t, 1, &x));
    REFUSED(tg_stage(tape, update, NULL, 5, &x));
    REFUSED(tg_stage(tape, update, (tg_tensor *[]){t, t, t, t, t}, 5, NULL));
    REFUSED(tg_operator_register(NULL, add));
    ck_assert_ptr_null(tg_operator_find(NULL, "add"));
    ck_assert_ptr_null(tg_operator_find(rt, NULL));
    ck_assert_uint_eq(tg_operator_list(NULL, NULL, 0), 0);
    REFUSED(tg_forward_n(NULL, NULL, NULL, 0, NULL, 0));
    REFUSED(tg_forward_n(tape, NULL, NULL, 0, NULL, 0));
    REFUSED(tg_gradcheck(NULL, NULL, NULL, NULL, 0, 1, NULL));
    tg_tensor_destroy(t);
}
END_TEST

START_TEST(sizes_that_overflow)
{
    double x = 1;
    tg_tensor *t = NULL;
    const int64_t big = (int64_t)1 << 40;
    ck_assert_int_eq(tg_tensor_wrap(&t, rt, TG_F64, (int64_t[]){2, 3}, (int64_t[]){INT64_MAX / 4, 1}, 2, &x),
                     TG_ESHAPE);
    ck_assert_int_eq(tg_tensor_wrap(&t, rt, TG_F64, (int64_t[]){big, big}, (int64_t[]){0, 0}, 2, &x),
                     TG_ESHAPE);
    ck_assert_int_eq(tg_tensor_wrap(&t, rt, TG_F64, (int64_t[]){3, 3},
                                    (int64_t[]){(int64_t)1 << 61, (int64_t)1 << 61}, 2, &x),
                     TG_ESHAPE);
    ck_assert_ptr_null(t);
    ck_assert_ptr_null(tg_input(tape, TG_F64, DIMS(big, big), NULL));
    fails_with(TG_ESHAPE, "tg_input: f64[1099511627776, 1099511627776]");
    ck_assert_ptr_null(tg_input(tape, TG_F64, DIMS(2, -3), NULL));
    fails_with(TG_ESHAPE, "tg_input: dim 1 is negative: -3");
    ck_assert_ptr_null(tg_full(tape, TG_F64, DIMS(big, big), 0));
    fails_with(TG_ESHAPE, NULL);
    /* broadcasting multiplies: neither of these has any memory to speak of */
    tg_tensor *one = tg_scalar(tape, TG_F64, 1);
    tg_tensor *row = tg_expand(tape, tg_reshape(tape, one, 1, 1), 1, big);
    tg_tensor *column = tg_expand(tape, tg_reshape(tape, one, 1, 1), big, 1);
    ck_assert_msg(row && column, "%s", tg_tape_error(tape));
    ck_assert_ptr_null(tg_add(tape, row, column));
    fails_with(TG_ESHAPE, NULL);
    ck_assert_ptr_null(tg_matmul(tape, column, row));
    fails_with(TG_ESHAPE, NULL);
    ck_assert_ptr_null(tg_expand(tape, row, big, big));
    fails_with(TG_ESHAPE, NULL);
    ck_assert_int_eq(tg_tape_set_threads(tape, 1 << 30), TG_EINVAL);
    ck_assert_int_eq(tg_runtime_set_threads(rt, 1 << 30), TG_EINVAL);
}
END_TEST

START_TEST(what_is_none_of_the_choices)
{
    double memory[4] = {1, 2, 3, 4};
    tg_tensor *x = vector(memory, 3), *g = NULL, *y = NULL;
    ck_assert_int_eq(tg_tensor_wrap(&g, rt, TG_F64, (int64_t[]){3}, NULL, 1, (char *)memory + 4), TG_EINVAL);
    ck_assert_msg(strstr(tg_error_message(), "is not aligned to the 8 bytes of an f64"), "%s", tg_error_message());
    y = tg_sum(tape, tg_square(tape, x));
    ck_assert_int_eq(tg_grad(tape, y, NULL, &x, 1, &g, 64), TG_EINVAL);
    fails_with(TG_EINVAL, "tg_grad: flags 0x40, expected some of TG_RETAIN");
    ck_assert_int_eq(tg_hvp(tape, y, &x, &x, 1, &g, 64), TG_EINVAL);
    fails_with(TG_EINVAL, "tg_hvp: flags 0x40");
    ck_assert_int_eq(tg_backward_with(tape, y, NULL, TG_CREATE_GRAPH), TG_EINVAL);
    fails_with(TG_EINVAL, "tg_backward_with: takes TG_RETAIN alone");
    ck_assert_ptr_null(tg_arange(tape, TG_BOOL, 0, 3, 1));
    fails_with(TG_EDTYPE, "arange: dtype must be f32, f64 or i64, not bool");
    ck_assert_str_eq(tg_dtype_name(99), "dtype number 99");
    ck_assert_ptr_null(tg_full(tape, (tg_dtype)99, NULL, 0, 1));
    fails_with(TG_EDTYPE, "full: dtype must be f32, f64, i64 or bool, not dtype number 99");
    ck_assert_ptr_null(tg_scalar(tape, TG_U8, 1));
    fails_with(TG_EDTYPE, "scalar: full: dtype must be");
    ck_assert_ptr_null(tg_logspace(tape, TG_U8, 0, 1, 3, 10));
    fails_with(TG_EDTYPE, "logspace: linspace: dtype must be");
    tg_tensor_destroy(x);
}
END_TEST

START_TEST(bytes_of_bools)
{
    const unsigned char given[4] = {2, 0, 255, 1};
    unsigned char got[4];
    double sum = 0;
    tg_tensor *x = tg_input(tape, TG_BOOL, DIMS(2, 2), given);
    ck_assert_int_eq(tg_tensor_read(x, got, 4), TG_OK);
    ck_assert_mem_eq(got, ((unsigned char[]){1, 0, 1, 1}), 4);
    ck_assert_int_eq(tg_item(tg_sum(tape, x), &sum), TG_OK);
    ck_assert_double_eq_tol(sum, 3, 1e-12);
    const unsigned char other[4] = {0, 8, 0, 4};
    ck_assert_int_eq(tg_tensor_write(x, other, 4), TG_OK);
    ck_assert_int_eq(tg_tensor_write(tg_t(tape, x), other, 4), TG_OK);
    ck_assert_int_eq(tg_tensor_read(x, got, 4), TG_OK);
    ck_assert_mem_eq(got, ((unsigned char[]){0, 0, 1, 1}), 4);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("arguments");
    TCase *t = tcase_create("arguments");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, null_to_runtime_and_tensor);
    tcase_add_test(t, null_to_tape);
    tcase_add_test(t, sizes_that_overflow);
    tcase_add_test(t, what_is_none_of_the_choices);
    tcase_add_test(t, bytes_of_bools);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
