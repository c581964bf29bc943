/* Included by conv.c once for each element type T: what packs the factors. No guard. */

/* Rows of the weights, at the depth's steps. */
static void NAME(pack)(const T *src, int64_t row, const tg_conv_tap *tap, int64_t rows, int64_t depth, double *dst)
{
    for (int64_t i = 0; i < rows; i++) {
        double *to = dst + i / TG_REF_PANEL * TG_REF_PANEL * depth + i % TG_REF_PANEL;
        for (int64_t k = 0; k < depth; k++)
            to[k * TG_REF_PANEL] = (double)src[i * row + tap[k].a];
    }
}

/* Rows of gy. */
static void NAME(rows)(const T *src, int64_t row, int64_t rows, int64_t depth, double *dst)
{
    for (int64_t i = 0; i < rows; i++) {
        double *to = dst + i / TG_REF_PANEL * TG_REF_PANEL * depth + i % TG_REF_PANEL;
        for (int64_t k = 0; k < depth; k++)
            to[k * TG_REF_PANEL] = (double)src[i * row + k];
    }
}

/* Positions p … as columns, the places of the windows as the depth. */
static void NAME(columns)(const tg_conv_view *v, const tg_conv_tap *tap, const T *src, int64_t p, int64_t cols,
                          int64_t depth, double *line, double *dst)
{
    const int64_t whole = cols / TG_REF_PANEL, rest = cols % TG_REF_PANEL;
    for (int64_t k = 0; k < depth; k++) {
        NAME(gather)(v, &tap[k], src, p, cols, line);
        double *to = dst + k * TG_REF_PANEL;
        for (int64_t j = 0; j < whole; j++, to += TG_REF_PANEL * depth)
            memcpy(to, line + j * TG_REF_PANEL, TG_REF_PANEL * sizeof *to);
        memcpy(to, line + whole * TG_REF_PANEL, (size_t)rest * sizeof *to);
    }
}

/* The reverse: the places as columns, positions as the depth. */
static void NAME(lines)(const tg_conv_view *v, const tg_conv_tap *tap, const T *src, int64_t p, int64_t cols,
                        int64_t depth, double *line, double *dst)
{
    for (int64_t j = 0; j < cols; j++) {
        NAME(gather)(v, &tap[j], src, p, depth, line);
        double *to = dst + j / TG_REF_PANEL * TG_REF_PANEL * depth + j % TG_REF_PANEL;
        for (int64_t k = 0; k < depth; k++)
            to[k * TG_REF_PANEL] = line[k];
    }
}
