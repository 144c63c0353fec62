/* The loops around the register tiles of a matrix multiplication: over panels of filters, groups of rows and tiles, and how
 * threads share them. Tiles are gemm_tile's, of elements of type gemm_element and vectors of GEMM_LANES filters; the input
 * that they read has rows GEMM_ROW_STRIDE and pixels GEMM_PIXEL_STRIDE elements apart, and a window every GEMM_STRIDE rows
 * and GEMM_COLUMN_STRIDE columns. Where GEMM_RESULT is defined, outputs and residuals are of that type, and their elements
 * are as many of it as GEMM_OUTPUT_UNIT and GEMM_RESIDUAL_UNIT say; GEMM_TILE calls the tile. */
#ifndef ELLOPT_GEMM_LOOPS_H
#define ELLOPT_GEMM_LOOPS_H

#define TAIL_LANES (FILTERS % GEMM_LANES ? FILTERS % GEMM_LANES : GEMM_LANES)
#define PANEL_DEPTH (FIELD * FIELD_COLUMNS * CHANNELS)
#define GROUP_WEIGHTS ((ptrdiff_t)((FILTERS + GEMM_LANES - 1) / GEMM_LANES * GEMM_LANES) * PANEL_DEPTH)

#ifndef GEMM_RESULT
#define GEMM_RESULT float
#define GEMM_OUTPUT_UNIT 1
#define GEMM_RESIDUAL_UNIT 1
#define GEMM_TILE gemm_tile
#endif

/* The work, and how it is cut into tasks. `input` and `weights` are what tiles read. */
typedef struct {
    const ell_conv_args *args;
    const gemm_element *input, *weights;
    int group_chunks, panel_chunks;
#if CUT_COLUMNS
    int column_chunks; /* 0: columns are not cut */
#endif
} gemm_split;

/* Where columns are cut, a tile is so many parts: of the rows, or of the panels of one row. */
#define TILE_PARTS (ROW_GROUPS > 1 || PANELS > 1 ? 2 : 1)

/* What a task computes: some groups of rows, in them some tiles of columns. */
typedef struct {
    int first_group, last_group;
#if CUT_COLUMNS
    int first_tile, last_tile;
#endif
} gemm_area;

#if CUT_COLUMNS
#define FIRST_TILE(AREA) ((AREA).first_tile)
#define LAST_TILE(AREA) ((AREA).last_tile)
#else /* constants, for the compiler's sake */
#define FIRST_TILE(AREA) 0
#define LAST_TILE(AREA) COLUMN_TILES
#endif
#define FIRST_NARROW_TILE(AREA) (FIRST_TILE(AREA) > WIDE_TILES ? FIRST_TILE(AREA) : WIDE_TILES)
#define LAST_WIDE_TILE(AREA) (LAST_TILE(AREA) < WIDE_TILES ? LAST_TILE(AREA) : WIDE_TILES)

/* All tiles of an area for one panel. */
ELL_INLINE void gemm_panel(const gemm_split *split, const gemm_area area, const gemm_element *weights, int filter,
                           const int vectors, const int tail) {
    const ell_conv_args *args = split->args;
    const int column = COLUMN_OF(FIRST_TILE(area));
    for (int group = area.first_group; group < area.last_group; group++) {
        int tall = group < TALL_GROUPS;
        ptrdiff_t y = (ptrdiff_t)group * TILE_ROWS - (tall ? 0 : group - TALL_GROUPS);
        const gemm_element *input = split->input + y * GEMM_STRIDE * GEMM_ROW_STRIDE +
                                    (ptrdiff_t)column * GEMM_COLUMN_STRIDE * GEMM_PIXEL_STRIDE;
        const GEMM_RESULT *residual = (const GEMM_RESULT *)args->residual;
        if (RESIDUAL)
            residual += (y * RESIDUAL_ROW_STRIDE + (ptrdiff_t)column * RESIDUAL_PIXEL_STRIDE + filter) * GEMM_RESIDUAL_UNIT;
        GEMM_RESULT *output = (GEMM_RESULT *)args->output +
                              (y * OUT_ROW_STRIDE + (ptrdiff_t)column * OUT_PIXEL_STRIDE + filter) * GEMM_OUTPUT_UNIT;
        const float *bias = args->bias + filter;
        if (tall) {
            for (int tile = FIRST_TILE(area); tile < LAST_WIDE_TILE(area); tile++) {
                GEMM_TILE(input, weights, bias, residual, output, TILE_ROWS, TILE_COLUMNS, vectors, tail);
                input += TILE_COLUMNS * GEMM_COLUMN_STRIDE * GEMM_PIXEL_STRIDE;
                residual += RESIDUAL ? TILE_COLUMNS * RESIDUAL_PIXEL_STRIDE * GEMM_RESIDUAL_UNIT : 0;
                output += TILE_COLUMNS * OUT_PIXEL_STRIDE * GEMM_OUTPUT_UNIT;
            }
#if COLUMN_TILES > WIDE_TILES
            for (int tile = FIRST_NARROW_TILE(area); tile < LAST_TILE(area); tile++) {
                GEMM_TILE(input, weights, bias, residual, output, TILE_ROWS, TILE_COLUMNS - 1, vectors, tail);
                input += (TILE_COLUMNS - 1) * GEMM_COLUMN_STRIDE * GEMM_PIXEL_STRIDE;
                residual += RESIDUAL ? (TILE_COLUMNS - 1) * RESIDUAL_PIXEL_STRIDE * GEMM_RESIDUAL_UNIT : 0;
                output += (TILE_COLUMNS - 1) * OUT_PIXEL_STRIDE * GEMM_OUTPUT_UNIT;
            }
#endif
        }
#if ROW_GROUPS > TALL_GROUPS
        else { /* tiles of several rows are as wide as the output */
            GEMM_TILE(input, weights, bias, residual, output, TILE_ROWS - 1, TILE_COLUMNS, vectors, tail);
        }
#endif
    }
}

static void gemm_groups(const gemm_split *split, const gemm_area area, int first_panel, int last_panel) {
    for (int panel = first_panel; panel < last_panel; panel++) {
        int wide = panel < WIDE_PANELS;
        int vector = panel * TILE_VECTORS - (wide ? 0 : panel - WIDE_PANELS);
        int filter = vector * GEMM_LANES;
        const gemm_element *weights = split->weights + (ptrdiff_t)filter * PANEL_DEPTH;
        if (TAIL_LANES != GEMM_LANES && panel == PANELS - 1)
            gemm_panel(split, area, weights, filter,
                       WIDE_PANELS == PANELS ? TILE_VECTORS : TILE_VECTORS - 1, TAIL_LANES);
        else if (wide)
            gemm_panel(split, area, weights, filter, TILE_VECTORS, GEMM_LANES);
#if PANELS > WIDE_PANELS
        else
            gemm_panel(split, area, weights, filter, TILE_VECTORS - 1, GEMM_LANES);
#endif
    }
}

/* Some panels of groups first_group .. last_group - 1, some of them at a time. */
ELL_INLINE void gemm_blocks(const gemm_split *split, gemm_area area, int first_group, int last_group, int first_panel,
                            int last_panel) {
    for (int group = first_group; group < last_group; group += BLOCK_GROUPS) {
        area.first_group = group;
        area.last_group = last_group - group < BLOCK_GROUPS ? last_group : group + BLOCK_GROUPS;
        gemm_groups(split, area, first_panel, last_panel);
    }
}

#if CUT_COLUMNS
/* Parts first .. last - 1 of tiles: part of one, whole ones, part of one. */
static void gemm_columns(const gemm_split *split, int first, int last) {
    while (first < last) {
        const int part = first % TILE_PARTS, whole = part == 0 && last - first >= TILE_PARTS;
        const int tiles = whole ? (last - first) / TILE_PARTS : 1, end = whole ? TILE_PARTS : part + 1;
        const gemm_area area = {0, 0, first / TILE_PARTS, first / TILE_PARTS + tiles};
        if (ROW_GROUPS > 1)
            gemm_blocks(split, area, ROW_GROUPS * part / TILE_PARTS, ROW_GROUPS * end / TILE_PARTS, 0, PANELS);
        else
            gemm_blocks(split, area, 0, 1, PANELS * part / TILE_PARTS, PANELS * end / TILE_PARTS);
        first += tiles * (end - part);
    }
}
#endif

static void gemm_task(const void *context, int index, int worker) {
    (void)worker;
    const gemm_split *split = (const gemm_split *)context;
    int g = index / split->panel_chunks, p = index % split->panel_chunks;
    gemm_area area = {0};
#if CUT_COLUMNS
    if (split->column_chunks) {
        gemm_columns(split, TILE_PARTS * COLUMN_TILES * index / split->column_chunks,
                     TILE_PARTS * COLUMN_TILES * (index + 1) / split->column_chunks);
        return;
    }
    area.last_tile = COLUMN_TILES;
#endif
    int first_group = (int)((long)ROW_GROUPS * g / split->group_chunks);
    int last_group = (int)((long)ROW_GROUPS * (g + 1) / split->group_chunks);
    int first_panel = (int)((long)PANELS * p / split->panel_chunks);
    int last_panel = (int)((long)PANELS * (p + 1) / split->panel_chunks);
    gemm_blocks(split, area, first_group, last_group, first_panel, last_panel);
}

/* How many threads' worth of tasks there are: enough to even out cores of unequal speed. Weights of more than
 * OWN_WEIGHT_BYTES are split first, so that no core reads all of them; otherwise rows are, or columns. */
ELL_INLINE void gemm_cut(gemm_split *split, int threads) {
    split->group_chunks = split->panel_chunks = 1;
#if CUT_COLUMNS
    split->column_chunks = 0;
#endif
    if (threads <= 1) return;
    /* A group more or less would be much of a small layer: many tasks, of parts of groups, even that out. */
    const int even = CUT_COLUMNS || ROW_GROUPS % threads == 0;
    const int wanted =
        even ? ell_tasks_for(threads, (long long)OUT_ROWS * OUT_COLUMNS * FILTERS * PANEL_DEPTH) : 4 * threads;
    if (PANEL_DEPTH * FILTERS * (int)sizeof(gemm_element) > OWN_WEIGHT_BYTES) {
        split->panel_chunks = PANELS < wanted ? PANELS : wanted;
        split->group_chunks = (wanted + split->panel_chunks - 1) / split->panel_chunks;
        if (split->group_chunks > ROW_GROUPS) split->group_chunks = ROW_GROUPS;
    } else {
#if CUT_COLUMNS
        split->column_chunks = TILE_PARTS * COLUMN_TILES < wanted ? TILE_PARTS * COLUMN_TILES : wanted;
#else
        split->group_chunks = ROW_GROUPS < wanted ? ROW_GROUPS : wanted;
        split->panel_chunks = (wanted + split->group_chunks - 1) / split->group_chunks;
        if (split->panel_chunks > PANELS) split->panel_chunks = PANELS;
#endif
    }
}

ELL_INLINE int gemm_tasks(const gemm_split *split) {
#if CUT_COLUMNS
    if (split->column_chunks) return split->column_chunks;
#endif
    return split->group_chunks * split->panel_chunks;
}

#endif
