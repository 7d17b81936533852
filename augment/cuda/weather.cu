// Fog, snow and frost.
#include "common.cuh"

__device__ static inline float rough(u64 key, u32 row, u32 column, float by) {
    return by * (2.f * uniform(row_key(key, row), column) - 1.f);
}

// One level of the plasma. b2 the grid of i0 x i0, b3 the middles of its squares; i1 the level's first row of draws,
// f0 roughness; a thread a middle.
extern "C" __global__ void plasma_middle(Params p) {
    PLACE
    const int n = p.i[0], x = at % n, y = at / n, right = (x + 1) % n, down = (y + 1) % n;
    const float *g = F32(2);
    const float sum = g[y * n + x] + g[y * n + right] + g[down * n + x] + g[down * n + right];
    F32(3)[at] = sum / 4.f + rough(p.key, p.i[1] | (3 * y), x, p.f[0]);
}

// b4 the grid of 2 i0 x 2 i0 from both; a thread a middle.
extern "C" __global__ void plasma_finer(Params p) {
    PLACE
    const int n = p.i[0], x = at % n, y = at / n, left = (x + n - 1) % n, up = (y + n - 1) % n;
    const float *g = F32(2), *m = F32(3);
    const float corner = g[y * n + x], here = m[at];
    float *even = F32(4) + 2 * y * 2 * n + 2 * x, *odd = even + 2 * n;
    even[0] = corner;
    even[1] = (here + m[up * n + x] + corner + g[y * n + (x + 1) % n]) / 4.f
              + rough(p.key, p.i[1] | (3 * y + 1), x, p.f[0]);
    odd[0] = (here + m[y * n + left] + corner + g[(y + 1) % n * n + x]) / 4.f
             + rough(p.key, p.i[1] | (3 * y + 2), x, p.f[0]);
    odd[1] = here;
}

// A float as an integer of the same order.
__device__ static inline int ordered(float x) {
    const int i = (int)as_bits(x);
    return i < 0 ? i ^ 0x7fffffff : i;
}
__device__ static inline float unordered(int i) { return as_float((u32)(i < 0 ? i ^ 0x7fffffff : i)); }

// b3 least and largest of b2 (ordered integers, set before), and the brightest byte of the picture; i0 values,
// i1 bytes; a thread 1024 of each.
extern "C" __global__ void extremes(Params p) {
    PLACE
    int low = 0x7fffffff, high = -0x7fffffff - 1, brightest = 0;
    for (int i = at * 1024; i < (at + 1) * 1024; i++) {
        if (i < p.i[0]) {
            low = min(low, ordered(F32(2)[i]));
            high = max(high, ordered(F32(2)[i]));
        }
        if (i < p.i[1]) brightest = max(brightest, (int)p.b[0][i]);
    }
    atomicMin(I32(3), low);
    atomicMax(I32(3) + 1, high);
    atomicMax(I32(3) + 2, brightest);
}

// b2 the clouds of i0 x i0, b3 their extremes; f0 amount, f1 how many places of the clouds a pixel is; a thread a pixel.
extern "C" __global__ void fog(Params p) {
    PLACE
    const float low = unordered(I32(3)[0]), high = unordered(I32(3)[1]), brightest = (float)I32(3)[2] / 255.f;
    const float stretch = 1.f / fmaxf(high - low, LEAST);
    const float scale = brightest / fmaxf(brightest + p.f[0], LEAST);
    const int x = at % p.w, y = at / p.w, last = p.i[0] - 1;
    const float across = (float)x * p.f[1], down = (float)y * p.f[1];
    const int x0 = min((int)across, last), x1 = min(x0 + 1, last), y0 = min((int)down, last), y1 = min(y0 + 1, last);
    const float *above = F32(2) + y0 * p.i[0], *below = F32(2) + y1 * p.i[0];
    float cloud = (above[x0] - low) * stretch;
    if (p.f[1] != 1.f) {
        const float b = (above[x1] - low) * stretch, c = (below[x0] - low) * stretch, d = (below[x1] - low) * stretch;
        const float fy = down - (float)y0, left = cloud + (c - cloud) * fy, right = b + (d - b) * fy;
        cloud = left + (right - left) * (across - (float)x0);
    }
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = byte(((float)p.b[0][3 * at + c] + 255.f * p.f[0] * cloud) * scale);
}

// b2 target of p.w columns, b3 columns and b5 lines (place, distance to the next), b4 and b6 the next one's weights;
// f0 mean, f1 deviation, f2 what is cut; a thread a place of the target.
extern "C" __global__ void snow_field(Params p) {
    PLACE
    const int *column = I32(3) + 2 * (at % p.w), *line = I32(5) + 2 * (at / p.w);
    float end[2];
    for (int side = 0; side < 2; side++) {
        const int x = column[0] + side * column[1];
        const float a = normal(row_key(p.key, line[0]), x), b = normal(row_key(p.key, line[0] + line[1]), x);
        end[side] = p.f[0] + p.f[1] * (a + (b - a) * F32(6)[at / p.w]);
    }
    const float v = end[0] + (end[1] - end[0]) * F32(4)[at % p.w];
    F32(2)[at] = v < p.f[2] ? 0.f : fminf(fmaxf(v, 0.f), 1.f);
}

// b2 the flakes of i0 columns; f0 what is kept of the picture, f1 brightness of a flake; a thread a pixel.
extern "C" __global__ void snow(Params p) {
    PLACE
    const int x = at % p.w, y = at / p.w;
    const float a = rintf(F32(2)[y * p.i[0] + x] * 255.f) * (1.f / 255.f);
    const float b = rintf(F32(2)[(p.h - 1 - y) * p.i[0] + p.w - 1 - x] * 255.f) * (1.f / 255.f);
    const u8 *v = p.b[0] + 3 * at;
    const float white = (0.299f * v[0] + 0.587f * v[1] + 0.114f * v[2]) * 1.5f + 127.5f;
    for (int c = 0; c < 3; c++)
        p.b[1][3 * at + c] = byte(p.f[0] * v[c] + (1.f - p.f[0]) * fmaxf(v[c], white) + p.f[1] * (a + b));
}

// b2 the plate of i0 columns, b3 columns and b5 lines (four places each), b4 and b6 their weights; f0 what is kept of
// the picture, f1 what is added of the plate; a thread an element.
extern "C" __global__ void frost(Params p) {
    PLACE
    const int x = at % (3 * p.w) / 3, y = at / (3 * p.w), c = at % 3;
    float ice = 0.f;
    for (int k = 0; k < 4; k++) {
        float column = 0.f;
        for (int l = 0; l < 4; l++)
            column += F32(6)[4 * y + l] * (float)p.b[2][3 * (I32(5)[4 * y + l] * p.i[0] + I32(3)[4 * x + k]) + c];
        ice += F32(4)[4 * x + k] * column;
    }
    p.b[1][at] = byte(p.f[0] * (float)p.b[0][at] + p.f[1] * fminf(fmaxf(ice, 0.f), 255.f) + 0.002f);
}
