/* Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Key: the
 * seed; counter: (block, draw). */
#include "autograd/internal.h"

void tg_philox(uint64_t seed, uint64_t draw, uint64_t block, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = (uint32_t)draw,
             c3 = (uint32_t)(draw >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

tg_status tg_seed(tg_runtime *rt, uint64_t seed)
{
    if (!rt)
        return tg_fail(NULL, TG_EINVAL, "tg_seed: the runtime is NULL");
    tg_runtime_set_random_state(rt, (tg_random_state){.seed = seed});
    return TG_OK;
}

tg_random_state tg_runtime_random_state(const tg_runtime *rt)
{
    if (!rt)
        return (tg_random_state){0};
    mtx_t *lock = (mtx_t *)(uintptr_t)&rt->tape_lock;
    mtx_lock(lock);
    tg_random_state state = rt->random;
    mtx_unlock(lock);
    return state;
}

void tg_runtime_set_random_state(tg_runtime *rt, tg_random_state state)
{
    if (!rt)
        return;
    mtx_lock(&rt->tape_lock);
    rt->random = state;
    mtx_unlock(&rt->tape_lock);
}
