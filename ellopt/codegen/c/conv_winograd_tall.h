/* 64-bit NEON has 32 registers of four lanes, all others of that width 16: where the taller register tile differs, its
 * cut of the layer comes in macros that end in _TALL. */
#if VECTOR_WIDTH == 4 && defined(__aarch64__)
#ifdef TILE_ROWS_TALL
#undef TILE_ROWS
#define TILE_ROWS TILE_ROWS_TALL
#endif
#ifdef ROW_PANELS_TALL
#undef ROW_PANELS
#define ROW_PANELS ROW_PANELS_TALL
#endif
#ifdef TALL_PANELS_TALL
#undef TALL_PANELS
#define TALL_PANELS TALL_PANELS_TALL
#endif
#ifdef BLOCK_PANELS_TALL
#undef BLOCK_PANELS
#define BLOCK_PANELS BLOCK_PANELS_TALL
#endif
#ifdef INPUT_STEP_TALL
#undef INPUT_STEP
#define INPUT_STEP INPUT_STEP_TALL
#endif
#ifdef PRODUCT_STEP_TALL
#undef PRODUCT_STEP
#define PRODUCT_STEP PRODUCT_STEP_TALL
#endif
#endif
