/* Method "winograd" of full 3x3, 1x3 and 3x1 convolutions with stride 1, and of 3x3 with stride 2.
 *
 * The output is cut into tiles of WINOGRAD_ROWS x WINOGRAD_COLUMNS pixels. The input of each tile is transformed; then
 * every one of the WINOGRAD_POSITIONS positions inside a transformed tile is a matrix multiplication
 * [tiles x channels] x [channels x filters]; the products are transformed back, and bias, residual and activation
 * are applied on the way to the output.
 *
 * Tiles come in ROW_PANELS panels, the first TALL_PANELS of TILE_ROWS tiles, the others one less; filters in PANELS
 * panels, the first WIDE_PANELS of TILE_VECTORS vectors, the others one less. A pair of panels is one register tile.
 * Up to BLOCK_PANELS row panels are transformed at a time, so that a block stays in cache; up to SHARED_PANELS where
 * all threads work on one block, for each block has two meetings of them.
 *
 * Weights: [panel][position][channel][filter of the panel], or, POSITION_FIRST, [position][panel][channel][filter of the
 * panel]; filters filled up with zeros to whole vectors. With stride 2 positions of odd inputs share theirs.
 * Transformed input: [row panel][position][tile][channel], INPUT_PITCH floats a tile, INPUT_STEP a position. (Tiles of 44:
 * see conv_winograd_multiply_row.h.)
 * Products: [row panel][panel][position][tile][filter], PRODUCT_STEP floats a position; IN_PLACE of the transformed input. */
#define NEEDS_WINOGRAD
#define NEEDS_FILTER_PANELS
#define NEEDS_WINOGRAD_BLOCKS
#include "ellopt_conv.h"
#include "ellopt_pool.h"
#include "kernel_macros.h"

#define INPUT_PANEL ((ptrdiff_t)WINOGRAD_POSITIONS * INPUT_STEP)
#include "conv_winograd_input.h"
#if WINOGRAD_DERIVES
#include "conv_winograd_multiply_row.h"
#else
#include "conv_winograd_multiply.h"
#define POSITIONS_AT_ONCE 1
#define WEIGHTS_AT_ONCE 1
#endif
#include "conv_winograd_output.h"

#ifdef WINOGRAD_HALF
#include "conv_winograd_half_tensors.h"
#else
#define WINOGRAD_INPUT_TILES(args, ...) winograd_input_tiles((args)->input, __VA_ARGS__)
#define WINOGRAD_OUTPUT_TILE winograd_output_tile
#endif

#define FILTER_VECTORS ((FILTERS + WINOGRAD_LANES - 1) / WINOGRAD_LANES)
#define CHANNEL_UNIT 16 /* channels that nonseparable_channel_depth counts in */
#define PRODUCT_PANEL ((ptrdiff_t)WINOGRAD_POSITIONS * PRODUCT_STEP)
#define INPUT_FLOATS(row_panels) ((ptrdiff_t)((row_panels) * INPUT_PANEL * (ptrdiff_t)sizeof(winograd_element) / 4))
#define PRODUCT_FLOATS(group_panels) (BLOCK_PANELS * (group_panels) * PRODUCT_PANEL * (ptrdiff_t)sizeof(winograd_product) / 4)
/* Filter panels of a shared block at a time: as many products as of a thread's own block, or one panel. */
#define SHARED_GROUP(group_panels) \
    (BLOCK_PANELS * (group_panels) > SHARED_PANELS ? BLOCK_PANELS * (group_panels) / SHARED_PANELS : 1)
#define SHARED_PRODUCTS(group_panels) \
    (SHARED_PANELS * SHARED_GROUP(group_panels) * PRODUCT_PANEL * (ptrdiff_t)sizeof(winograd_product) / 4)

/* Whether products may take the place of the input that they are of, which leaves room in the first level of cache: all of
 * it is read before the sums are written. */
#ifdef WINOGRAD_HALF
#define IN_PLACE (PANELS == 1 && PRODUCT_STEP == INPUT_STEP && CHANNELS <= HALF_TERMS)
#else
#define IN_PLACE (PANELS == 1 && PRODUCT_STEP == INPUT_STEP && !WINOGRAD_DERIVES)
#endif

typedef struct {
    const ell_conv_args *args;
    int group_panels; /* filter panels per pass */
    int groups;       /* passes, where threads share them */
    int depth;        /* channels per pass */
    int block_panels; /* row panels per block */
    int first_row_panel, last_row_panel; /* of the block at hand, where all threads share one */
} winograd_plan;

/* Which weights a position multiplies with. */
#if STRIDE == 1
#define WEIGHT_POSITIONS WINOGRAD_POSITIONS
#define WEIGHT_POSITION(position) ((position) / POSITIONS_AT_ONCE)
#else
#define WEIGHT_SIZE(outputs) ((outputs) + 2)
#define WEIGHT_POSITIONS (WEIGHT_SIZE(WINOGRAD_DOWN) * WEIGHT_SIZE(WINOGRAD_ACROSS))
#define WEIGHT_POSITION(position)                                                                    \
    (at_most((position) / WINOGRAD_SIZE_ACROSS, WINOGRAD_DOWN + 1) * WEIGHT_SIZE(WINOGRAD_ACROSS) + \
     at_most((position) % WINOGRAD_SIZE_ACROSS, WINOGRAD_ACROSS + 1))
#endif

static int at_most(int value, int limit) { return value < limit ? value : limit; }

static int panel_first_tile(int row_panel) {
    return row_panel * TILE_ROWS - (row_panel < TALL_PANELS ? 0 : row_panel - TALL_PANELS);
}

static void transform_row_panel(const ell_conv_args *args, int row_panel, winograd_element *transformed) {
    int first = panel_first_tile(row_panel), last = panel_first_tile(row_panel + 1);
    int tile = first;
    while (tile < last) {
        const int column = tile % TILES_ACROSS, left = TILES_ACROSS - column;
        tile += WINOGRAD_INPUT_TILES(args, tile / TILES_ACROSS, column, at_most(last - tile, left), CHANNELS,
                                     transformed + (tile - first) * INPUT_TILE_STEP);
    }
}

/* Products of row panels [first, last), already transformed, with the filter panels of a group. */
static __attribute__((noinline)) void multiply_group(const winograd_plan *plan, int first, int last, int first_panel,
                                                     int last_panel, const winograd_element *transformed,
                                                     winograd_product *products) {
    const int step = CHANNELS > CHANNEL_UNIT ? plan->depth : CHANNELS;
    const int tall = first < TALL_PANELS ? at_most(TALL_PANELS - first, last - first) : 0, low = last - first - tall;
    const ptrdiff_t c_step = (last_panel - first_panel) * PRODUCT_PANEL;
    const winograd_element *all_weights = (const winograd_element *)plan->args->weights;
    for (int position = 0; position < WINOGRAD_POSITIONS; position += POSITIONS_AT_ONCE) {
        winograd_product *c = products + position * PRODUCT_STEP;
        for (int panel = first_panel; panel < last_panel; panel++) {
            int wide = panel < WIDE_PANELS;
            int vector = panel * TILE_VECTORS - (wide ? 0 : panel - WIDE_PANELS);
            int width = (wide ? TILE_VECTORS : TILE_VECTORS - 1) * WINOGRAD_LANES;
#if POSITION_FIRST
            const winograd_element *weights = all_weights + ((ptrdiff_t)WEIGHT_POSITION(position) * FILTER_VECTORS + vector) *
                                                                WINOGRAD_LANES * CHANNELS * WEIGHTS_AT_ONCE;
#else
            const winograd_element *weights = all_weights + (ptrdiff_t)vector * WINOGRAD_LANES * WEIGHT_POSITIONS * CHANNELS +
                                              (ptrdiff_t)WEIGHT_POSITION(position) * CHANNELS * width;
#endif
            for (int channel = 0; channel < CHANNELS; channel += step) {
                const int depth = at_most(CHANNELS - channel, step);
                const winograd_element *a = transformed + position * INPUT_STEP + channel * INPUT_CHANNEL_STEP;
                const winograd_element *b = weights + (ptrdiff_t)channel * width * WEIGHTS_AT_ONCE;
                winograd_multiply(a, b, c, c_step, tall, low, wide, depth, channel > 0);
            }
            c += PRODUCT_PANEL;
        }
    }
}

static void finish_group(const winograd_plan *plan, int first, int last, int first_panel, int last_panel,
                         const winograd_product *products) {
    for (int r = first; r < last; r++) {
        int first_tile = panel_first_tile(r), last_tile = panel_first_tile(r + 1);
        const winograd_product *row_products = products + (r - first) * (last_panel - first_panel) * PRODUCT_PANEL;
        for (int tile = first_tile; tile < last_tile; tile++) {
            for (int panel = first_panel; panel < last_panel; panel++) {
                int wide = panel < WIDE_PANELS;
                int vector = panel * TILE_VECTORS - (wide ? 0 : panel - WIDE_PANELS);
                int width = (wide ? TILE_VECTORS : TILE_VECTORS - 1) * WINOGRAD_LANES;
                WINOGRAD_OUTPUT_TILE(plan->args, tile / TILES_ACROSS, tile % TILES_ACROSS, vector * WINOGRAD_LANES,
                                     width,
                                     row_products + (panel - first_panel) * PRODUCT_PANEL +
                                         (ptrdiff_t)(tile - first_tile) * width);
            }
        }
    }
}

/* One block of tiles, all filters, on one thread. */
static void block_task(const void *context, int index, int worker) {
    const winograd_plan *plan = (const winograd_plan *)context;
    ptrdiff_t floats = INPUT_FLOATS(BLOCK_PANELS) + PRODUCT_FLOATS(plan->group_panels);
    winograd_element *transformed = (winograd_element *)(plan->args->workspace + worker * floats);
    winograd_product *products =
        (winograd_product *)(plan->args->workspace + worker * floats + INPUT_FLOATS(BLOCK_PANELS));
    if (IN_PLACE && plan->depth == CHANNELS) products = (winograd_product *)transformed;
    int first = index * plan->block_panels;
    int last = first + plan->block_panels < ROW_PANELS ? first + plan->block_panels : ROW_PANELS;
    for (int r = first; r < last; r++)
        transform_row_panel(plan->args, r, transformed + (r - first) * INPUT_PANEL);
    for (int panel = 0; panel < PANELS; panel += plan->group_panels) {
        int end = panel + plan->group_panels < PANELS ? panel + plan->group_panels : PANELS;
        multiply_group(plan, first, last, panel, end, transformed, products);
        finish_group(plan, first, last, panel, end, products);
    }
}

/* Where one block is shared by all threads: first its tiles, then its filters are split. */
static void transform_task(const void *context, int index, int worker) {
    (void)worker;
    const winograd_plan *plan = (const winograd_plan *)context;
    int tile = panel_first_tile(plan->first_row_panel) + index;
    int r = plan->first_row_panel;
    while (panel_first_tile(r + 1) <= tile) r++;
    WINOGRAD_INPUT_TILES(plan->args, tile / TILES_ACROSS, tile % TILES_ACROSS, 1, CHANNELS,
                         (winograd_element *)plan->args->workspace + (r - plan->first_row_panel) * INPUT_PANEL +
                             (tile - panel_first_tile(r)) * INPUT_TILE_STEP);
}

static void group_task(const void *context, int index, int worker) {
    const winograd_plan *plan = (const winograd_plan *)context;
    const winograd_element *transformed = (const winograd_element *)plan->args->workspace;
    winograd_product *products = (winograd_product *)(plan->args->workspace + INPUT_FLOATS(SHARED_PANELS) +
                                                      worker * SHARED_PRODUCTS(plan->group_panels));
    int first = PANELS * index / plan->groups, last = PANELS * (index + 1) / plan->groups;
    multiply_group(plan, plan->first_row_panel, plan->last_row_panel, first, last, transformed, products);
    finish_group(plan, plan->first_row_panel, plan->last_row_panel, first, last, products);
}

void KERNEL_NAME(const ell_conv_args *args) {
    int threads = ell_pool_threads(args->pool);
    winograd_plan plan = {.args = args, .block_panels = BLOCK_PANELS};
    int filter_depth = args->nonseparable_filter_block_depth, channel_depth = args->nonseparable_channel_depth;
    plan.group_panels = filter_depth ? at_most(filter_depth, PANELS) : GROUP_PANELS;
    plan.depth = channel_depth ? at_most(CHANNEL_UNIT * channel_depth, CHANNELS) : CHANNELS;
    int blocks = (ROW_PANELS + BLOCK_PANELS - 1) / BLOCK_PANELS;
    /* Two blocks for each thread: they meet once. */
    if (threads == 1 || blocks >= 2 * threads || PANELS < threads) {
        if (threads > 1) {
            /* as many blocks for each thread, none much larger than another */
            blocks = (blocks + threads - 1) / threads * threads;
            plan.block_panels = (ROW_PANELS + blocks - 1) / blocks;
            blocks = (ROW_PANELS + plan.block_panels - 1) / plan.block_panels;
        }
        ell_pool_run(args->pool, block_task, &plan, blocks);
        return;
    }
    /* as many groups for each thread */
    int group = SHARED_GROUP(plan.group_panels);
    plan.groups = (PANELS + group - 1) / group;
    plan.groups = at_most((plan.groups + threads - 1) / threads * threads, PANELS);
    for (int r = 0; r < ROW_PANELS; r += SHARED_PANELS) {
        plan.first_row_panel = r;
        plan.last_row_panel = at_most(r + SHARED_PANELS, ROW_PANELS);
        ell_pool_run(args->pool, transform_task, &plan, panel_first_tile(plan.last_row_panel) - panel_first_tile(r));
        ell_pool_run(args->pool, group_task, &plan, plan.groups);
    }
}
