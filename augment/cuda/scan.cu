// Scans.
#include "common.cuh"

// b2 source, b3 columns and b5 lines (two places each), b4 and b6 the second one's weights; i0 the source's width; a thread
// an element.
extern "C" __global__ void enlarge(Params p) {
    PLACE
    const int x = at % (3 * p.w) / 3, y = at / (3 * p.w);
    const int *column = I32(3) + 2 * x, *line = I32(5) + 2 * y;
    float end[2];
    for (int side = 0; side < 2; side++) {
        const u8 *from = p.b[2] + 3 * column[side] + at % 3;
        const float a = from[3 * line[0] * p.i[0]], b = from[3 * line[1] * p.i[0]];
        end[side] = a + (b - a) * F32(6)[y];
    }
    p.b[1][at] = byte(end[0] + (end[1] - end[0]) * F32(4)[x] + 0.5f);
}

// b2 target; f0 mean, f1 deviation; a thread a pixel.
extern "C" __global__ void normal_field(Params p) {
    PLACE
    F32(2)[at] = p.f[0] + p.f[1] * normal(row_key(p.key, at / p.w), at % p.w);
}

// b2 the paper's grain; f0 sine and f1 cosine of the skew, f2 fade, f3 moire, f4 grain, f5 to f8 the gratings, f9 the lid;
// a thread a pixel.
extern "C" __global__ void document(Params p) {
    PLACE
    const float x = (float)(at % p.w), y = (float)(at / p.w);
    const float mx = 0.5f * ((float)p.w - 1.f), my = 0.5f * ((float)p.h - 1.f), dx = x - mx, dy = y - my;
    const float sx = p.f[1] * dx + p.f[0] * dy + mx, sy = p.f[1] * dy - p.f[0] * dx + my;
    const float moire = p.f[3] * sine(p.f[5] * x + p.f[6] * y) * sine(p.f[7] * x + p.f[8] * y);
    const float noise = p.f[4] * 2.f * F32(2)[at] + moire;
    for (int c = 0; c < 3; c++) {
        const float v = bilinear(p, sx, sy, c, p.f[9]);
        p.b[1][3 * at + c] = byte(v + fmaxf(245.f - v, 0.f) * p.f[2] + noise + 0.5f);
    }
}
