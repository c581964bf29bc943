/* tapegrad-samples.so: what proves the built-in rows and layers, by name. It is made from their own files, where each stands
 * beside what it proves, and is a module because a seventh of the library would be samples. */
#include "autograd/operators/operators.h"
#include "autograd/proof.h"
#include "layers/internal.h"

#include <string.h>

__attribute__((visibility("default"))) const tg_sample *tg_samples_entry(const char *version, const char *kind,
                                                                         const char *name, size_t *n);

const tg_sample *tg_samples_entry(const char *version, const char *kind, const char *name, size_t *n)
{
    if (strcmp(version, tg_version()))
        return NULL;
    const bool layer = !strcmp(kind, "layer");
    for (const tg_operator *const *const *family = tg_operator_families; *family && !layer; family++)
        for (const tg_operator *const *op = *family; *op; op++)
            if (!strcmp((*op)->name, name))
                return (*op)->samples(n);
    for (const tg_layer_class *const *const *family = tg_layer_families; *family && layer; family++)
        for (const tg_layer_class *const *cls = *family; *cls; cls++)
            if (!strcmp((*cls)->name, name))
                return (*cls)->samples(n);
    return NULL;
}
