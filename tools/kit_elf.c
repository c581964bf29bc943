#include "tools/kit.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct image {
    const char *at;
    size_t size;
} image;

static const void *part(const image *f, uint64_t offset, uint64_t size)
{
    return offset <= f->size && size <= f->size - offset ? f->at + offset : NULL;
}

/* What a sanitizer or a coverage tool adds is not the author's. */
static bool is_foreign(const char *name)
{
    static const char *const starts[] = {"__asan", "__odr_asan", "__ubsan", "__gcov", "__sancov", "__tsan"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (!strncmp(name, starts[i], strlen(starts[i])))
            return true;
    return false;
}

static void list(const image *f, const ElfW(Shdr) *symbols, const ElfW(Shdr) *names, const char *expected,
                 char *extra, size_t size)
{
    const ElfW(Sym) *s = part(f, symbols->sh_offset, symbols->sh_size);
    const char *text = part(f, names->sh_offset, names->sh_size);
    size_t n = 0;
    if (!s || !text || !names->sh_size || text[names->sh_size - 1])
        return;
    for (size_t i = 0; i < symbols->sh_size / sizeof *s; i++) {
        const unsigned bind = s[i].st_info >> 4, visibility = s[i].st_other & 3u;
        if (s[i].st_shndx == SHN_UNDEF || (bind != STB_GLOBAL && bind != STB_WEAK) || s[i].st_name >= names->sh_size ||
            visibility == STV_HIDDEN || visibility == STV_INTERNAL)
            continue;
        const char *name = text + s[i].st_name;
        if (strcmp(name, expected) != 0 && !is_foreign(name) && n + strlen(name) + 3 < size)
            n += (size_t)snprintf(extra + n, size - n, "%s%s", n ? ", " : "", name);
    }
}

static bool read_image(const image *f, const char *expected, char *extra, size_t size)
{
    const ElfW(Ehdr) *head = part(f, 0, sizeof *head);
    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
        return false;
    const ElfW(Shdr) *section = part(f, head->e_shoff, (uint64_t)head->e_shnum * sizeof *section);
    for (unsigned i = 0; section && i < head->e_shnum; i++)
        if (section[i].sh_type == SHT_DYNSYM && section[i].sh_link < head->e_shnum)
            list(f, &section[i], &section[section[i].sh_link], expected, extra, size);
    return section != NULL;
}

bool elf_exports(const char *path, const char *expected, char *extra, size_t size)
{
    extra[0] = '\0';
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fstat(fd, &st) == 0 && st.st_size > 0;
    void *at = ok ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (at == MAP_FAILED)
        return false;
    ok = read_image(&(image){at, (size_t)st.st_size}, expected, extra, size);
    munmap(at, (size_t)st.st_size);
    return ok;
}
