// Noise, bit errors and masks; a thread an element of the picture.
#include "common.cuh"

// f0 deviation, f1 grain; i0: in proportion to the value.
extern "C" __global__ void normal_noise(Params p) {
    PLACE
    const int y = at / (3 * p.w), e = at % (3 * p.w);
    const float n = normal(row_key(p.key, cell(y, p.f[1])), 3 * cell(e / 3, p.f[1]) + e % 3);
    const float v = p.b[0][at];
    p.b[1][at] = byte(p.i[0] ? v + v * (p.f[0] * n) : v + p.f[0] * n);
}

// i0: of 2^31, how many draws are hit.
extern "C" __global__ void impulse_noise(Params p) {
    PLACE
    const int y = at / (3 * p.w), e = at % (3 * p.w);
    const u32 b = bits(row_key(p.key, cell(y, p.f[1])), 3 * cell(e / 3, p.f[1]) + e % 3);
    p.b[1][at] = (b >> 1) < (u32)p.i[0] ? ((b & 1) ? 255 : 0) : p.b[0][at];
}

// b2 distribution functions, b3 where to begin for each grey and upper byte, b4 the grey of each place.
extern "C" __global__ void shot_noise(Params p) {
    PLACE
    const int y = at / (3 * p.w), e = at % (3 * p.w);
    const u32 b = bits(row_key(p.key, cell(y, p.f[1])), 3 * cell(e / 3, p.f[1]) + e % 3);
    u32 k = U32(3)[(u32)p.b[0][at] << 8 | b >> 24];
    while (U32(2)[k] < b) k++;
    p.b[1][at] = p.b[4][k];
}

// i0 side of a block, f0 share.
extern "C" __global__ void block_mask(Params p) {
    PLACE
    const int y = at / (3 * p.w), x = at % (3 * p.w) / 3;
    p.b[1][at] = uniform(row_key(p.key, y / p.i[0]), x / p.i[0]) >= p.f[0] ? p.b[0][at] : 0;
}
