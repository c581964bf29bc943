/* A child of fork has only the thread that forked. OpenMP does not know, and would wait for its others for ever. */
#include "autograd/internal.h"

#include <dirent.h>
#include <pthread.h>

atomic_bool tg_fork_happened;
static bool leaves_threads; /* of the fork under way: pthread_atfork's handlers run one after the other */
static once_flag once = ONCE_FLAG_INIT;

/* More than one thread now? Where that cannot be seen, yes. */
static void before(void)
{
    int n = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *e; tasks && (e = readdir(tasks));)
        n += e->d_name[0] != '.';
    if (tasks)
        closedir(tasks);
    leaves_threads = !tasks || n > 1;
}

static void in_child(void)
{
    if (leaves_threads)
        atomic_store(&tg_fork_happened, true);
}

static void watch(void)
{
    pthread_atfork(before, NULL, in_child);
}

void tg_fork_watch(void)
{
    call_once(&once, watch);
}
