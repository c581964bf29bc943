/* Every function of the ops headers with what it should not be given: a NULL, a stale tensor, one of another
 * tape, other dtypes, ranks and sizes, no tape at all. It fails, or has a meaning for it; where it fails, the
 * sentence names the function and this file's line, and nothing is left behind. */
#include "operators/bad_input.h"

#define ONE (const int64_t[]){1}, 1

static void *elementwise(cursor *c, tg_tape *on, tg_tensor *const *t)
{
    CALL(neg, "f23", tg_neg(on, t[0]))
    CALL(abs, "f23", tg_abs(on, t[0]))
    CALL(sign, "f23", tg_sign(on, t[0]))
    CALL(sgn, "f23", tg_sgn(on, t[0]))
    CALL(square, "f23", tg_square(on, t[0]))
    CALL(ceil, "f23", tg_ceil(on, t[0]))
    CALL(floor, "f23", tg_floor(on, t[0]))
    CALL(trunc, "f23", tg_trunc(on, t[0]))
    CALL(round, "f23", tg_round(on, t[0]))
    CALL(round_decimals, "f23", tg_round_decimals(on, t[0], 1))
    CALL(frac, "f23", tg_frac(on, t[0]))
    CALL(nan_to_num, "f23", tg_nan_to_num(on, t[0], 0, 1, 2))
    CALL(exp, "f23", tg_exp(on, t[0]))
    CALL(exp2, "f23", tg_exp2(on, t[0]))
    CALL(expm1, "f23", tg_expm1(on, t[0]))
    CALL(log, "f23", tg_log(on, t[0]))
    CALL(log2, "f23", tg_log2(on, t[0]))
    CALL(log10, "f23", tg_log10(on, t[0]))
    CALL(log1p, "f23", tg_log1p(on, t[0]))
    CALL(sqrt, "f23", tg_sqrt(on, t[0]))
    CALL(rsqrt, "f23", tg_rsqrt(on, t[0]))
    CALL(reciprocal, "f23", tg_reciprocal(on, t[0]))
    CALL(sin, "f23", tg_sin(on, t[0]))
    CALL(cos, "f23", tg_cos(on, t[0]))
    CALL(tan, "f23", tg_tan(on, t[0]))
    CALL(asin, "f23", tg_asin(on, t[0]))
    CALL(acos, "f23", tg_acos(on, t[0]))
    CALL(atan, "f23", tg_atan(on, t[0]))
    CALL(sinh, "f23", tg_sinh(on, t[0]))
    CALL(cosh, "f23", tg_cosh(on, t[0]))
    CALL(asinh, "f23", tg_asinh(on, t[0]))
    CALL(acosh, "f23", tg_acosh(on, t[0]))
    CALL(atanh, "f23", tg_atanh(on, t[0]))
    CALL(deg2rad, "f23", tg_deg2rad(on, t[0]))
    CALL(rad2deg, "f23", tg_rad2deg(on, t[0]))
    CALL(erf, "f23", tg_erf(on, t[0]))
    CALL(erfc, "f23", tg_erfc(on, t[0]))
    CALL(erfinv, "f23", tg_erfinv(on, t[0]))
    CALL(sinc, "f23", tg_sinc(on, t[0]))
    CALL(lgamma, "f23", tg_lgamma(on, t[0]))
    CALL(digamma, "f23", tg_digamma(on, t[0]))
    CALL(polygamma, "f23", tg_polygamma(on, 1, t[0]))
    CALL(i0, "f23", tg_i0(on, t[0]))
    CALL(i1, "f23", tg_i1(on, t[0]))
    CALL(logit, "f23", tg_logit(on, t[0], 0.1))
    CALL(add_scalar, "f23", tg_add_scalar(on, t[0], 2))
    CALL(sub_scalar, "f23", tg_sub_scalar(on, t[0], 2))
    CALL(mul_scalar, "f23", tg_mul_scalar(on, t[0], 2))
    CALL(pow_scalar, "f23", tg_pow_scalar(on, t[0], 2))
    CALL(div_scalar, "f23", tg_div_scalar(on, t[0], 2))
    CALL(rsub_scalar, "f23", tg_rsub_scalar(on, 2, t[0]))
    CALL(rdiv_scalar, "f23", tg_rdiv_scalar(on, 2, t[0]))
    CALL(rpow_scalar, "f23", tg_rpow_scalar(on, 2, t[0]))
    CALL(tanh, "f23", tg_tanh(on, t[0]))
    CALL(sigmoid, "f23", tg_sigmoid(on, t[0]))
    CALL(log_sigmoid, "f23", tg_log_sigmoid(on, t[0]))
    CALL(relu, "f23", tg_relu(on, t[0]))
    CALL(leaky_relu, "f23", tg_leaky_relu(on, t[0], 2))
    CALL(elu, "f23", tg_elu(on, t[0], 2))
    CALL(selu, "f23", tg_selu(on, t[0]))
    CALL(celu, "f23", tg_celu(on, t[0], 2))
    CALL(gelu, "f23", tg_gelu(on, t[0], true))
    CALL(silu, "f23", tg_silu(on, t[0]))
    CALL(hardswish, "f23", tg_hardswish(on, t[0]))
    CALL(threshold, "f23", tg_threshold(on, t[0], 1, 2))
    CALL(hardshrink, "f23", tg_hardshrink(on, t[0], 0.5))
    CALL(softshrink, "f23", tg_softshrink(on, t[0], 0.5))
    CALL(tanhshrink, "f23", tg_tanhshrink(on, t[0]))
    CALL(hardsigmoid, "f23", tg_hardsigmoid(on, t[0]))
    CALL(glu, "f24", tg_glu(on, t[0], 1))
    CALL(mish, "f23", tg_mish(on, t[0]))
    CALL(softplus, "f23", tg_softplus(on, t[0], 1, 20))
    CALL(softsign, "f23", tg_softsign(on, t[0]))
    CALL(hardtanh, "f23", tg_hardtanh(on, t[0], -1, 1))
    CALL(prelu, "f23 f1", tg_prelu(on, t[0], t[1]))
    CALL(clamp, "f23", tg_clamp(on, t[0], 0, 1))
    CALL(clamp_tensor, "f23 f3? f3?", tg_clamp_tensor(on, t[0], t[1], t[2]))
    CALL(add, "f23 f3", tg_add(on, t[0], t[1]))
    CALL(sub, "f23 f3", tg_sub(on, t[0], t[1]))
    CALL(mul, "f23 f3", tg_mul(on, t[0], t[1]))
    CALL(div, "f23 f3", tg_div(on, t[0], t[1]))
    CALL(floor_divide, "f23 f3", tg_floor_divide(on, t[0], t[1]))
    CALL(div_trunc, "f23 f3", tg_div_trunc(on, t[0], t[1]))
    CALL(fmod, "f23 f3", tg_fmod(on, t[0], t[1]))
    CALL(remainder, "f23 f3", tg_remainder(on, t[0], t[1]))
    CALL(pow, "f23 f3", tg_pow(on, t[0], t[1]))
    CALL(maximum, "f23 f3", tg_maximum(on, t[0], t[1]))
    CALL(minimum, "f23 f3", tg_minimum(on, t[0], t[1]))
    CALL(fmax, "f23 f3", tg_fmax(on, t[0], t[1]))
    CALL(fmin, "f23 f3", tg_fmin(on, t[0], t[1]))
    CALL(heaviside, "f23 f3", tg_heaviside(on, t[0], t[1]))
    CALL(atan2, "f23 f3", tg_atan2(on, t[0], t[1]))
    CALL(hypot, "f23 f3", tg_hypot(on, t[0], t[1]))
    CALL(copysign, "f23 f3", tg_copysign(on, t[0], t[1]))
    CALL(xlogy, "f23 f3", tg_xlogy(on, t[0], t[1]))
    CALL(logaddexp, "f23 f3", tg_logaddexp(on, t[0], t[1]))
    CALL(logaddexp2, "f23 f3", tg_logaddexp2(on, t[0], t[1]))
    CALL(ldexp, "f23 f3", tg_ldexp(on, t[0], t[1]))
    CALL(addcmul, "f23 f23 f3", tg_addcmul(on, t[0], t[1], t[2], 2))
    CALL(addcdiv, "f23 f23 f3", tg_addcdiv(on, t[0], t[1], t[2], 2))
    CALL(lerp, "f23 f23 f3", tg_lerp(on, t[0], t[1], t[2]))
    CALL(lerp_scalar, "f23 f3", tg_lerp_scalar(on, t[0], t[1], 0.5))
    CALL(eq, "f23 f3", tg_eq(on, t[0], t[1]))
    CALL(ne, "f23 f3", tg_ne(on, t[0], t[1]))
    CALL(lt, "f23 f3", tg_lt(on, t[0], t[1]))
    CALL(le, "f23 f3", tg_le(on, t[0], t[1]))
    CALL(gt, "f23 f3", tg_gt(on, t[0], t[1]))
    CALL(ge, "f23 f3", tg_ge(on, t[0], t[1]))
    CALL(isclose, "f23 f3", tg_isclose(on, t[0], t[1], 0, 0, false))
    CALL(logical_and, "f23 f3", tg_logical_and(on, t[0], t[1]))
    CALL(logical_or, "f23 f3", tg_logical_or(on, t[0], t[1]))
    CALL(logical_xor, "f23 f3", tg_logical_xor(on, t[0], t[1]))
    CALL(logical_not, "f23", tg_logical_not(on, t[0]))
    CALL(isnan, "f23", tg_isnan(on, t[0]))
    CALL(isinf, "f23", tg_isinf(on, t[0]))
    CALL(isfinite, "f23", tg_isfinite(on, t[0]))
    CALL(signbit, "f23", tg_signbit(on, t[0]))
    CALL(where, "b23 f23 f3", tg_where(on, t[0], t[1], t[2]))
    CALL(to, "f23", tg_to(on, t[0], TG_F32))
    return NULL;
}

static void *reduce(cursor *c, tg_tape *on, tg_tensor *const *t)
{
    CALL(sum_dims, "f23", tg_sum_dims(on, t[0], ONE, false))
    CALL(sum, "f23", tg_sum(on, t[0]))
    CALL(mean, "f23", tg_mean(on, t[0]))
    CALL(mean_dims, "f23", tg_mean_dims(on, t[0], ONE, false))
    CALL(nansum_dims, "f23", tg_nansum_dims(on, t[0], ONE, false))
    CALL(nanmean_dims, "f23", tg_nanmean_dims(on, t[0], ONE, false))
    CALL(var_dims, "f23", tg_var_dims(on, t[0], ONE, 2, false))
    CALL(std_dims, "f23", tg_std_dims(on, t[0], ONE, 2, false))
    CALL(var_mean_dims, "f23", tg_var_mean_dims(on, t[0], ONE, 2, false, out))
    CALL(std_mean_dims, "f23", tg_std_mean_dims(on, t[0], ONE, 2, false, out))
    CALL(any_dims, "f23", tg_any_dims(on, t[0], ONE, false))
    CALL(all_dims, "f23", tg_all_dims(on, t[0], ONE, false))
    CALL(count_nonzero_dims, "f23", tg_count_nonzero_dims(on, t[0], ONE))
    CALL(norm_dims, "f23", tg_norm_dims(on, t[0], 2, ONE, false))
    CALL(prod_dim, "f23", tg_prod_dim(on, t[0], 1, false))
    CALL(prod, "f23", tg_prod(on, t[0]))
    CALL(sum_to_size, "f23", tg_sum_to_size(on, t[0], (const int64_t[]){2, 1}, 2))
    CALL(amax_dims, "f23", tg_amax_dims(on, t[0], ONE, false))
    CALL(amin_dims, "f23", tg_amin_dims(on, t[0], ONE, false))
    CALL(aminmax_dims, "f23", tg_aminmax_dims(on, t[0], ONE, false, out))
    CALL(max, "f23", tg_max(on, t[0]))
    CALL(min, "f23", tg_min(on, t[0]))
    CALL(max_dim, "f23", tg_max_dim(on, t[0], 1, false, out))
    CALL(min_dim, "f23", tg_min_dim(on, t[0], 1, false, out))
    CALL(argmax, "f23", tg_argmax(on, t[0], 1, false))
    CALL(argmin, "f23", tg_argmin(on, t[0], 1, false))
    CALL(argmax_all, "f23", tg_argmax_all(on, t[0], false))
    CALL(argmin_all, "f23", tg_argmin_all(on, t[0], false))
    CALL(cumsum, "f23", tg_cumsum(on, t[0], 1))
    CALL(cumprod, "f23", tg_cumprod(on, t[0], 1))
    CALL(logcumsumexp, "f23", tg_logcumsumexp(on, t[0], 1))
    CALL(cummax, "f23", tg_cummax(on, t[0], 1, out))
    CALL(cummin, "f23", tg_cummin(on, t[0], 1, out))
    CALL(diff, "f23 f21? f22?", tg_diff(on, t[0], 1, 1, t[1], t[2]))
    CALL(trapezoid, "f23", tg_trapezoid(on, t[0], 1, 1))
    CALL(trapezoid_at, "f23 f3", tg_trapezoid_at(on, t[0], t[1], 1))
    CALL(dist, "f23 f3", tg_dist(on, t[0], t[1], 2))
    CALL(cdist, "f23 f43", tg_cdist(on, t[0], t[1], 2))
    CALL(renorm, "f23", tg_renorm(on, t[0], 2, 0, 1))
    return NULL;
}

static void *shape(cursor *c, tg_tape *on, tg_tensor *const *t)
{
    CALL(reshape_dims, "f23", tg_reshape_dims(on, t[0], (const int64_t[]){6}, 1))
    CALL(flatten, "f23", tg_flatten(on, t[0], 0, -1))
    CALL(unflatten, "f26", tg_unflatten(on, t[0], 1, (const int64_t[]){2, 3}, 2))
    CALL(transpose, "f23", tg_transpose(on, t[0], 0, 1))
    CALL(t, "f23", tg_t(on, t[0]))
    CALL(permute_dims, "f23", tg_permute_dims(on, t[0], (const int64_t[]){1, 0}, 2))
    CALL(movedim, "f23", tg_movedim(on, t[0], (const int64_t[]){0}, (const int64_t[]){1}, 1))
    CALL(expand_dims, "f13", tg_expand_dims(on, t[0], (const int64_t[]){2, 3}, 2))
    CALL(squeeze, "f23", tg_squeeze(on, t[0], 1))
    CALL(squeeze_dims, "f13", tg_squeeze_dims(on, t[0], (const int64_t[]){0}, 1))
    CALL(squeeze_all, "f23", tg_squeeze_all(on, t[0]))
    CALL(unsqueeze, "f23", tg_unsqueeze(on, t[0], 1))
    CALL(narrow, "f23", tg_narrow(on, t[0], 1, 0, 2))
    CALL(narrow_at, "f23 i", tg_narrow_at(on, t[0], 1, t[1], 2))
    CALL(slice, "f23", tg_slice(on, t[0], 1, 0, 3, 2))
    CALL(select, "f23", tg_select(on, t[0], 1, 0))
    CALL(diagonal, "f23", tg_diagonal(on, t[0], 0, 0, 1))
    CALL(unfold_dim, "f23", tg_unfold_dim(on, t[0], 1, 2, 1))
    CALL(split, "f23", tg_split(on, t[0], 1, 1, out, 8) ? t[0] : NULL)
    CALL(split_with_sizes, "f23",
         tg_split_with_sizes(on, t[0], (const int64_t[]){1, 2}, 2, 1, out, 8) ? t[0] : NULL)
    CALL(chunk, "f23", tg_chunk(on, t[0], 2, 1, out, 8) ? t[0] : NULL)
    CALL(tensor_split, "f23", tg_tensor_split(on, t[0], 2, 1, out, 8) ? t[0] : NULL)
    CALL(tensor_split_indices, "f23", tg_tensor_split_indices(on, t[0], ONE, 1, out, 8) ? t[0] : NULL)
    CALL(unbind, "f23", tg_unbind(on, t[0], 1, out, 8) || (on && !tg_tape_status(on)) ? t[0] : NULL)
    CALL(cat_n, "f23 f23", tg_cat_n(on, t, 2, 0))
    CALL(stack_n, "f23 f23", tg_stack_n(on, t, 2, 0))
    CALL(hstack_n, "f23 f23", tg_hstack_n(on, t, 2))
    CALL(vstack_n, "f23 f23", tg_vstack_n(on, t, 2))
    CALL(dstack_n, "f23 f23", tg_dstack_n(on, t, 2))
    CALL(column_stack_n, "f23 f23", tg_column_stack_n(on, t, 2))
    CALL(contiguous, "f23", tg_contiguous(on, t[0]))
    CALL(clone, "f23", tg_clone(on, t[0]))
    CALL(flip_dims, "f23", tg_flip_dims(on, t[0], ONE))
    CALL(fliplr, "f23", tg_fliplr(on, t[0]))
    CALL(flipud, "f23", tg_flipud(on, t[0]))
    CALL(roll, "f23", tg_roll(on, t[0], (const int64_t[]){2}, (const int64_t[]){1}, 1))
    CALL(rot90, "f23", tg_rot90(on, t[0], 1, 0, 1))
    CALL(repeat_dims, "f23", tg_repeat_dims(on, t[0], (const int64_t[]){2, 2}, 2))
    CALL(tile_dims, "f23", tg_tile_dims(on, t[0], (const int64_t[]){2, 2}, 2))
    CALL(repeat_interleave, "f23", tg_repeat_interleave(on, t[0], 2, 1))
    CALL(repeat_interleave_each, "f23 i3", tg_repeat_interleave_each(on, t[0], t[1], 1, -1))
    CALL(tril, "f23", tg_tril(on, t[0], 0))
    CALL(triu, "f23", tg_triu(on, t[0], 0))
    CALL(diag, "f23", tg_diag(on, t[0], 0))
    CALL(diag_embed, "f23", tg_diag_embed(on, t[0], 0, -2, -1))
    CALL(trace, "f23", tg_trace(on, t[0]))
    CALL(slice_scatter, "f23 f22", tg_slice_scatter(on, t[0], t[1], 1, 0, 2, 1))
    CALL(select_scatter, "f23 f2", tg_select_scatter(on, t[0], t[1], 1, 0))
    CALL(zeros_like, "f23", tg_zeros_like(on, t[0]))
    CALL(ones_like, "f23", tg_ones_like(on, t[0]))
    CALL(full_like, "f23", tg_full_like(on, t[0], TG_F32, 1))
    CALL(full, "", tg_full(on, TG_F32, (const int64_t[]){2, 3}, 2, 1))
    CALL(arange, "", tg_arange(on, TG_F32, 0, 3, 1))
    CALL(linspace, "", tg_linspace(on, TG_F32, 0, 1, 5))
    CALL(logspace, "", tg_logspace(on, TG_F32, 0, 1, 5, 10))
    CALL(eye, "", tg_eye(on, TG_F32, 2, 3))
    return NULL;
}

static void *index_(cursor *c, tg_tape *on, tg_tensor *const *t)
{
    CALL(gather, "f23 i23", tg_gather(on, t[0], 1, t[1]))
    CALL(index_select, "f23 i2", tg_index_select(on, t[0], 1, t[1]))
    CALL(take, "f23 i4", tg_take(on, t[0], t[1]))
    CALL(take_along_dim, "f23 i23", tg_take_along_dim(on, t[0], t[1], 1))
    CALL(embedding, "i4 f23", tg_embedding(on, t[0], t[1], TG_NONE_INT, TG_NONE_REAL, 2, false))
    CALL(embedding_bag, "i5 f23 i2 f5?",
         tg_embedding_bag(on, t[0], t[1], t[2], t[3], &(const tg_embedding_bag_options){.padding_idx = TG_NONE_INT}))
    CALL(one_hot, "i4", tg_one_hot(on, t[0], 3))
    CALL(scatter, "f23 i22 f22", tg_scatter(on, t[0], 1, t[1], t[2]))
    CALL(scatter_value, "f23 i22", tg_scatter_value(on, t[0], 1, t[1], 1))
    CALL(scatter_add, "f23 i22 f22", tg_scatter_add(on, t[0], 1, t[1], t[2]))
    CALL(scatter_reduce, "f23 i22 f22", tg_scatter_reduce(on, t[0], 1, t[1], t[2], TG_REDUCTION_MEAN, true))
    CALL(index_add, "f23 i2 f22", tg_index_add(on, t[0], 1, t[1], t[2], 2))
    CALL(index_copy, "f23 i2 f22", tg_index_copy(on, t[0], 1, t[1], t[2]))
    CALL(index_fill, "f23 i2", tg_index_fill(on, t[0], 1, t[1], 1))
    CALL(index_fill_tensor, "f23 i2 f", tg_index_fill_tensor(on, t[0], 1, t[1], t[2]))
    CALL(masked_fill, "f23 b23", tg_masked_fill(on, t[0], t[1], 1))
    CALL(masked_fill_tensor, "f23 b23 f", tg_masked_fill_tensor(on, t[0], t[1], t[2]))
    CALL(masked_select, "f23 b23", tg_masked_select(on, t[0], t[1]))
    CALL(masked_scatter, "f23 b23 f23", tg_masked_scatter(on, t[0], t[1], t[2]))
    CALL(nonzero, "f23", tg_nonzero(on, t[0]))
    CALL(nonzero_tuple, "f23", tg_nonzero_tuple(on, t[0], out) == TG_OK ? t[0] : NULL)
    CALL(sort, "f23", tg_sort(on, t[0], 1, false, out))
    CALL(argsort, "f23", tg_argsort(on, t[0], 1, false))
    CALL(msort, "f23", tg_msort(on, t[0]))
    CALL(topk, "f23", tg_topk(on, t[0], 2, 1, true, out))
    CALL(kthvalue, "f23", tg_kthvalue(on, t[0], 2, 1, false, out))
    CALL(median_dim, "f23", tg_median_dim(on, t[0], 1, false, out))
    CALL(nanmedian_dim, "f23", tg_nanmedian_dim(on, t[0], 1, false, out))
    CALL(median, "f23", tg_median(on, t[0]))
    CALL(nanmedian, "f23", tg_nanmedian(on, t[0]))
    CALL(mode_dim, "f23", tg_mode_dim(on, t[0], 1, false, out))
    CALL(quantile, "f23 f2", tg_quantile(on, t[0], t[1], 1, false, TG_BETWEEN_LINEAR))
    CALL(searchsorted, "f5 f23 i5?", tg_searchsorted(on, t[0], t[1], t[2], false))
    CALL(bucketize, "f23 f5", tg_bucketize(on, t[0], t[1], false))
    CALL(unique, "f23", tg_unique(on, t[0], 0, out, out + 1))
    return NULL;
}

static void *products(cursor *c, tg_tape *on, tg_tensor *const *t)
{
    CALL(matmul, "f23 f34", tg_matmul(on, t[0], t[1]))
    CALL(mm, "f23 f34", tg_mm(on, t[0], t[1]))
    CALL(bmm, "f223 f234", tg_bmm(on, t[0], t[1]))
    CALL(mv, "f23 f3", tg_mv(on, t[0], t[1]))
    CALL(dot, "f3 f3", tg_dot(on, t[0], t[1]))
    CALL(linear, "f23 f43 f4?", tg_linear(on, t[0], t[1], t[2]))
    CALL(addmm, "f24 f23 f34", tg_addmm(on, t[0], t[1], t[2], 1, 2))
    CALL(addmv, "f2 f23 f3", tg_addmv(on, t[0], t[1], t[2], 1, 2))
    CALL(addr, "f23 f2 f3", tg_addr(on, t[0], t[1], t[2], 1, 2))
    CALL(baddbmm, "f224 f223 f234", tg_baddbmm(on, t[0], t[1], t[2], 1, 2))
    CALL(addbmm, "f24 f223 f234", tg_addbmm(on, t[0], t[1], t[2], 1, 2))
    CALL(outer, "f3 f4", tg_outer(on, t[0], t[1]))
    CALL(inner, "f23 f43", tg_inner(on, t[0], t[1]))
    CALL(tensordot, "f23 f43", tg_tensordot(on, t[0], t[1], (const int64_t[]){1}, (const int64_t[]){1}, 1))
    CALL(kron, "f23 f3", tg_kron(on, t[0], t[1]))
    CALL(cross, "f23 f23", tg_cross(on, t[0], t[1], 1))
    CALL(bilinear, "f22 f23 f523 f5?", tg_bilinear(on, t[0], t[1], t[2], t[3]))
    CALL(einsum, "f23 f34", tg_einsum(on, "ij,jk->ik", t, 2))
    CALL(scaled_dot_product_attention, "f223 f243 f245",
         tg_scaled_dot_product_attention(on, t[0], t[1], t[2], NULL))
    return NULL;
}

static void *losses(cursor *c, tg_tape *on, tg_tensor *const *t)
{
    const tg_reduction mean = TG_REDUCE_MEAN;
    CALL(l1_loss, "f23 f23", tg_l1_loss(on, t[0], t[1], mean))
    CALL(huber_loss, "f23 f23", tg_huber_loss(on, t[0], t[1], 1, mean))
    CALL(smooth_l1_loss, "f23 f23", tg_smooth_l1_loss(on, t[0], t[1], 1, mean))
    CALL(poisson_nll_loss, "f23 f23", tg_poisson_nll_loss(on, t[0], t[1], true, true, 1e-8, mean))
    CALL(gaussian_nll_loss, "f23 f23 f23", tg_gaussian_nll_loss(on, t[0], t[1], t[2], true, 1e-6, mean))
    CALL(bce_with_logits, "f23 f23 f3? f3?", tg_bce_with_logits(on, t[0], t[1], t[2], t[3], mean))
    CALL(kl_div, "f23 f23", tg_kl_div(on, t[0], t[1], false, TG_REDUCE_BATCHMEAN))
    CALL(ctc_loss, "f223 i22 i2 i2", tg_ctc_loss(on, t[0], t[1], t[2], t[3], 0, true, mean))
    CALL(hinge_embedding_loss, "f23 f23", tg_hinge_embedding_loss(on, t[0], t[1], 1, mean))
    CALL(margin_ranking_loss, "f23 f23 f23", tg_margin_ranking_loss(on, t[0], t[1], t[2], 0, mean))
    CALL(cosine_embedding_loss, "f23 f23 f2", tg_cosine_embedding_loss(on, t[0], t[1], t[2], 0, mean))
    CALL(soft_margin_loss, "f23 f23", tg_soft_margin_loss(on, t[0], t[1], mean))
    CALL(multi_margin_loss, "f23 i2 f3?", tg_multi_margin_loss(on, t[0], t[1], 1, 1, t[2], mean))
    CALL(multilabel_margin_loss, "f23 i23", tg_multilabel_margin_loss(on, t[0], t[1], mean))
    CALL(multilabel_soft_margin_loss, "f23 f23 f3?", tg_multilabel_soft_margin_loss(on, t[0], t[1], t[2], mean))
    return NULL;
}

static void *nn(cursor *c, tg_tape *on, tg_tensor *const *t)
{
    CALL(softmax, "f23", tg_softmax(on, t[0], 1))
    CALL(log_softmax, "f23", tg_log_softmax(on, t[0], 1))
    CALL(logsumexp_dims, "f23", tg_logsumexp_dims(on, t[0], ONE, false))
    CALL(mse_loss, "f23 f23", tg_mse_loss(on, t[0], t[1], TG_REDUCE_MEAN))
    CALL(nll_loss, "f23 i2 f3?", tg_nll_loss(on, t[0], t[1], t[2], -100, TG_REDUCE_MEAN))
    CALL(cross_entropy_with, "f23 i2 f3?",
         tg_cross_entropy_with(on, t[0], t[1], t[2], -100, TG_REDUCE_MEAN, 0.1))
    CALL(cross_entropy, "f23 i2", tg_cross_entropy(on, t[0], t[1]))
    CALL(binary_cross_entropy, "f23 f23 f3?", tg_binary_cross_entropy(on, t[0], t[1], t[2], TG_REDUCE_MEAN))
    CALL(triplet_margin_loss, "f23 f23 f23",
         tg_triplet_margin_loss(on, t[0], t[1], t[2], 1, 2, 1e-6, true, TG_REDUCE_MEAN))
    CALL(triplet_margin_with_distance_loss, "f23 f23 f23",
         tg_triplet_margin_with_distance_loss(on, t[0], t[1], t[2], NULL, NULL, 1, true, TG_REDUCE_MEAN))
    CALL(cosine_similarity, "f23 f23", tg_cosine_similarity(on, t[0], t[1], 1, 1e-8))
    CALL(pairwise_distance, "f23 f23", tg_pairwise_distance(on, t[0], t[1], 2, 1e-6, false))
    CALL(normalize, "f23", tg_normalize(on, t[0], 2, 1, 1e-12))
    CALL(batch_norm_train, "f23 f3? f3?", tg_batch_norm_train(on, t[0], t[1], t[2], 1e-5, out, out + 1))
    CALL(batch_norm_eval, "f23 f3 f3 f3? f3?", tg_batch_norm_eval(on, t[0], t[1], t[2], t[3], t[4], 1e-5))
    CALL(layer_norm, "f23 f3? f3?", tg_layer_norm(on, t[0], 1, t[1], t[2], 1e-5))
    CALL(interpolate, "f1223", tg_interpolate(on, t[0], (const int64_t[]){4, 5}, 2, TG_LINEAR, false, false))
    CALL(interpolate_scale, "f1223",
         tg_interpolate_scale(on, t[0], (const double[]){2, 2}, 2, TG_LINEAR, false, false, false))
    CALL(grid_sample, "f1223 f1442", tg_grid_sample(on, t[0], t[1], TG_LINEAR, TG_GRID_ZEROS, false))
    CALL(max_unpool, "f1222 i1222",
         tg_max_unpool(on, t[0], t[1], 2, (const int64_t[]){2, 2}, NULL, NULL, NULL))
    CALL(pixel_shuffle, "f1422", tg_pixel_shuffle(on, t[0], 2))
    CALL(pixel_unshuffle, "f1122", tg_pixel_unshuffle(on, t[0], 2))
    CALL(im2col, "f1233", tg_im2col(on, t[0], (const int64_t[]){2, 2}, NULL, NULL, NULL))
    CALL(col2im, "f184",
         tg_col2im(on, t[0], (const int64_t[]){3, 3}, (const int64_t[]){2, 2}, NULL, NULL, NULL))
    CALL(rnn_cell, "f23 f24 f43 f44 f4? f4?", tg_rnn_cell(on, t[0], t[1], t[2], t[3], t[4], t[5], false))
    CALL(lstm_cell, "f23 f22 f22 f83 f82 f8? f8?",
         tg_lstm_cell(on, t[0], t[1], t[2], t[3], t[4], t[5], t[6], NULL))
    CALL(gru_cell, "f23 f22 f63 f62 f6? f6?", tg_gru_cell(on, t[0], t[1], t[2], t[3], t[4], t[5]))
    CALL(dropout, "f23", tg_dropout(on, t[0], 0.5, TG_TRAIN))
    CALL(dropout1d, "f23", tg_dropout1d(on, t[0], 0.5, TG_TRAIN))
    CALL(dropout2d, "f23", tg_dropout2d(on, t[0], 0.5, TG_TRAIN))
    CALL(dropout3d, "f23", tg_dropout3d(on, t[0], 0.5, TG_TRAIN))
    CALL(alpha_dropout, "f23", tg_alpha_dropout(on, t[0], 0.5, TG_TRAIN))
    CALL(feature_alpha_dropout, "f23", tg_feature_alpha_dropout(on, t[0], 0.5, TG_TRAIN))
    CALL(rrelu, "f23", tg_rrelu(on, t[0], 0.1, 0.4, TG_TRAIN))
    CALL(channel_shuffle, "f243", tg_channel_shuffle(on, t[0], 2))
    CALL(fractional_max_pool, "f1245 f122",
         tg_fractional_max_pool(on, t[0], 2, (const int64_t[]){2, 2}, (const int64_t[]){2, 2}, t[1], out))
    CALL(rand_like, "f23", tg_rand_like(on, t[0]))
    CALL(randn_like, "f23", tg_randn_like(on, t[0]))
    return NULL;
}

static const calls right[] = {elementwise, reduce, shape, index_, products, nn, losses, NULL};

static void is_right(size_t k, const cursor *expected, size_t n)
{
    (void)n;
    cursor c;
    tg_tensor *t[MOST];
    bool optional;
    give(expected->in, MOST, RIGHT, NULL, t, &optional);
    ck_assert_msg(call(right, k, true, tape, t, &c) != NULL, "%s: %s", c.name, tg_tape_error(tape));
    ck_assert_msg(call(right, k, true, NULL, t, &c) == NULL, "%s without a tape", c.name);
    ck_assert_msg(names(tg_error_message(), c.name), "%s without a tape: %s", c.name, tg_error_message());
}

START_TEST(what_is_right_and_no_tape)
{
    each(right, is_right);
}
END_TEST

static void is_refused(size_t k, const cursor *expected, size_t n)
{
    cursor c;
    tg_tensor *t[MOST];
    bool optional;
    for (size_t which = 0; which < n; which++)
        for (wrong how = NOTHING; how < N_WRONG; how++) {
            tg_tape *foreign;
            ck_assert_int_eq(tg_tape_open(&foreign, rt), TG_OK);
            give(expected->in, which, how, foreign, t, &optional);
            size_t nodes = tg_tape_size(tape), bytes = tg_tape_memory(tape).current;
            if (!call(right, k, true, tape, t, &c))
                failed(&c, which, how, nodes, bytes);
            else
                ck_assert_msg((how > FOREIGN) || (how == NOTHING && optional),
                              "%s takes input %zu although it is %d", c.name, which, how);
            tg_tape_reset(tape);
            tg_tape_close(foreign);
        }
}

START_TEST(what_is_wrong)
{
    each(right, is_refused);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("bad input");
    TCase *t = tcase_create("bad input");
    tcase_add_checked_fixture(t, rig_open, rig_close);
    tcase_add_test(t, what_is_right_and_no_tape);
    tcase_add_test(t, what_is_wrong);
    suite_add_tcase(s, t);
    return s;
}

TG_TEST_MAIN(suite)
