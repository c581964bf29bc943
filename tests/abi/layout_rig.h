/* What the tests of layouts share: a runtime with the toys, and a program that is run on two chains and compared. */
#ifndef TG_TESTS_ABI_LAYOUT_RIG_H
#define TG_TESTS_ABI_LAYOUT_RIG_H

#include "abi/layout_plugin.h"
#include "abi/rig.h"
#include "memory/allocator.h"

enum { DIM0 = 2, DIM1 = 3, DIM2 = 4, COUNT = DIM0 * DIM1 * DIM2, MAX_NOTED = 20000 };

/* A program with everything that it noted. */
typedef struct world {
    tg_runtime *rt;
    tg_tape *tape;
    size_t n;
    float noted[MAX_NOTED];
} world;

void toy_reset(void);
tg_runtime *open_toys(const char *chain, const tg_allocator *allocator);
/* Two threads, whose bits the toys do not know. */
world *world_open(const char *chain);
void world_close(world *w);

/* [2, 3, 4], the same for the same seed. */
tg_tensor *values(world *w, int seed);
/* In layout number `which` of the chain's first backend that has one. */
tg_tensor *lay(world *w, tg_tensor *x, int which);
tg_tensor *laid(world *w, int seed);
/* A sum whose gradients come and go in layouts. */
tg_tensor *loss_of(world *w, tg_tensor *x, tg_tensor *u);
/* Reads it into the notes; NULL, or what cannot be read, fails the test. */
void note(world *w, tg_tensor *t);
void note_number(world *w, float x);

/* Runs it on "toy,reference" and on "reference": the same notes, and layouts were used. */
void compare(void (*program)(world *w));

#endif
