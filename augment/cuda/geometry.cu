// Elastic distortion, large pixels, JPEG's loss.
#include "common.cuh"

// b2 target; f0 reach; a thread a pixel.
extern "C" __global__ void uniform_field(Params p) {
    PLACE
    F32(2)[at] = p.f[0] * (2.f * uniform(row_key(p.key, at / p.w), at % p.w) - 1.f);
}

// b2, b3 how far right and down each pixel reads; a thread a pixel.
extern "C" __global__ void warp(Params p) {
    PLACE
    const float x = (float)(at % p.w) + F32(2)[at], y = (float)(at / p.w) + F32(3)[at];
    const float left = floorf(x), top = floorf(y), fx = x - left, fy = y - top;
    const int x0 = border((int)left, p.w, 1), x1 = border((int)left + 1, p.w, 1);
    const int y0 = border((int)top, p.h, 1), y1 = border((int)top + 1, p.h, 1);
    for (int c = 0; c < 3; c++) {
        const float a = p.b[0][3 * (y0 * p.w + x0) + c], b = p.b[0][3 * (y0 * p.w + x1) + c];
        const float d = p.b[0][3 * (y1 * p.w + x0) + c], e = p.b[0][3 * (y1 * p.w + x1) + c];
        const float upper = a + (b - a) * fx, lower = d + (e - d) * fx;
        p.b[1][3 * at + c] = byte(upper + (lower - upper) * fy + 0.001f);
    }
}

// f0 to f5 where a place is read from; a thread a pixel.
extern "C" __global__ void affine(Params p) {
    PLACE
    const float x = (float)(at % p.w), y = (float)(at / p.w);
    const float sx = p.f[0] * x + p.f[1] * y + p.f[2], sy = p.f[3] * x + p.f[4] * y + p.f[5];
    const float left = floorf(sx), top = floorf(sy), fx = sx - left, fy = sy - top;
    const int x0 = border((int)left, p.w, 2), x1 = border((int)left + 1, p.w, 2);
    const int y0 = border((int)top, p.h, 2), y1 = border((int)top + 1, p.h, 2);
    for (int c = 0; c < 3; c++) {
        const float a = p.b[0][3 * (y0 * p.w + x0) + c], b = p.b[0][3 * (y0 * p.w + x1) + c];
        const float d = p.b[0][3 * (y1 * p.w + x0) + c], e = p.b[0][3 * (y1 * p.w + x1) + c];
        const float upper = a + (b - a) * fx, lower = d + (e - d) * fx;
        p.b[1][3 * at + c] = byte(upper + (lower - upper) * fy + 0.5f);
    }
}

// b2 target, b3 columns and b4 lines (first, count, weight); i0 the target's width; a thread an element of the target.
extern "C" __global__ void box_resize(Params p) {
    PLACE
    const int *column = I32(3) + 3 * (at / 3 % p.i[0]), *line = I32(4) + 3 * (at / 3 / p.i[0]);
    u32 sum = 1u << 21;
    for (int y = line[0]; y < line[0] + line[1]; y++) {
        u32 across = 0;
        for (int x = column[0]; x < column[0] + column[1]; x++) across += p.b[0][3 * (y * p.w + x) + at % 3];
        sum += ((across * (u32)column[2] + (1u << 21)) >> 22) * (u32)line[2];
    }
    p.b[2][at] = sum >> 22;
}

// b2 source, b3 columns and b4 lines; i0 the source's width; a thread an element.
extern "C" __global__ void nearest(Params p) {
    PLACE
    const int x = at % (3 * p.w) / 3, y = at / (3 * p.w);
    p.b[1][at] = p.b[2][3 * (I32(4)[y] * p.i[0] + I32(3)[x]) + at % 3];
}

__device__ static inline u8 luma(const u8 *v) { return (19595 * v[0] + 38470 * v[1] + 7471 * v[2] + 32768) >> 16; }
__device__ static inline u8 chroma(const u8 *v, int red) {
    const int centre = (128 << 16) + 32767;
    return red ? (32768 * v[0] - 27439 * v[1] - 5329 * v[2] + centre) >> 16
               : (-11059 * v[0] - 21709 * v[1] + 32768 * v[2] + centre) >> 16;
}

// b2 luma plane of i0 columns and i1 rows; a thread a sample.
extern "C" __global__ void jpeg_luma(Params p) {
    PLACE
    p.b[2][at] = luma(p.b[0] + 3 * (border(at / p.i[0], p.h, 0) * p.w + border(at % p.i[0], p.w, 0)));
}

// b2 blue and b3 red chroma plane of i0 columns; a thread a sample.
extern "C" __global__ void jpeg_chroma(Params p) {
    PLACE
    const int x = at % p.i[0], line = border(at / p.i[0], (p.h + 1) / 2, 0);
    for (int red = 0; red < 2; red++) {
        int sum = 1 + (x & 1);
        for (int k = 0; k < 4; k++) {
            const int y = border(2 * line + k / 2, p.h, 0), column = border(2 * x + k % 2, p.w, 0);
            sum += chroma(p.b[0] + 3 * (y * p.w + column), red);
        }
        p.b[2 + red][at] = sum >> 2;
    }
}

__device__ static inline int descale(int v, int shift) { return (v + (1 << (shift - 1))) >> shift; }

__device__ static void odd(int d0, int d1, int d2, int d3, int *o) {
    const int z5 = (d0 + d2 + d1 + d3) * 9633;
    const int z3 = z5 - (d0 + d2) * 16069, z4 = z5 - (d1 + d3) * 3196;
    const int z1 = (d0 + d3) * -7373, z2 = (d1 + d2) * -20995;
    o[0] = d0 * 2446 + z1 + z3;
    o[1] = d1 * 16819 + z2 + z4;
    o[2] = d2 * 25172 + z2 + z3;
    o[3] = d3 * 12299 + z1 + z4;
}

__device__ static void forward(int *d, int step, int shift) {
    int o[4], r[8];
    odd(d[3 * step] - d[4 * step], d[2 * step] - d[5 * step], d[step] - d[6 * step], d[0] - d[7 * step], o);
    const int s0 = d[0] + d[7 * step], s1 = d[step] + d[6 * step], s2 = d[2 * step] + d[5 * step];
    const int s3 = d[3 * step] + d[4 * step], t13 = s0 - s3, t12 = s1 - s2, z = (t12 + t13) * 4433;
    r[0] = (s0 + s3 + s1 + s2) * 8192;
    r[4] = (s0 + s3 - s1 - s2) * 8192;
    r[2] = z + t13 * 6270;
    r[6] = z - t12 * 15137;
    r[7] = o[0]; r[5] = o[1]; r[3] = o[2]; r[1] = o[3];
    for (int i = 0; i < 8; i++) d[i * step] = descale(r[i], shift);
}

__device__ static void inverse(int *d, int step, int shift) {
    int o[4];
    odd(d[7 * step], d[5 * step], d[3 * step], d[step], o);
    const int z = (d[2 * step] + d[6 * step]) * 4433;
    const int t3 = z + d[2 * step] * 6270, t2 = z - d[6 * step] * 15137;
    const int t0 = (d[0] + d[4 * step]) * 8192, t1 = (d[0] - d[4 * step]) * 8192;
    const int even[4] = {t0 + t3, t1 + t2, t1 - t2, t0 - t3};
    for (int i = 0; i < 4; i++) {
        d[i * step] = descale(even[i] + o[3 - i], shift);
        d[(7 - i) * step] = descale(even[i] - o[3 - i], shift);
    }
}

// Quantises each 8x8 block of a plane in the cosine domain. b2 the plane of i0 columns, b3 the steps; a thread a block.
extern "C" __global__ void jpeg_code(Params p) {
    PLACE
    u8 *corner = p.b[2] + (at / (p.i[0] / 8)) * 8 * p.i[0] + (at % (p.i[0] / 8)) * 8;
    int d[64];
    for (int i = 0; i < 64; i++) d[i] = (int)corner[(i / 8) * p.i[0] + i % 8] - 128;
    for (int y = 0; y < 8; y++) forward(d + 8 * y, 1, 11);
    for (int x = 0; x < 8; x++) forward(d + x, 8, 15);
    for (int i = 0; i < 64; i++) {
        const int step = I32(3)[i], size = d[i] < 0 ? -d[i] : d[i];
        const int level = (size + 4 * step) / (8 * step);
        d[i] = (d[i] < 0 ? -level : level) * step;
    }
    for (int x = 0; x < 8; x++) inverse(d + x, 8, 11);
    for (int y = 0; y < 8; y++) inverse(d + 8 * y, 1, 18);
    for (int i = 0; i < 64; i++) {
        const int v = d[i] + 128;
        corner[(i / 8) * p.i[0] + i % 8] = v < 0 ? 0 : v > 255 ? 255 : v;
    }
}

__device__ static int upsampled(const u8 *plane, int stride, int w, int h, int x, int y) {
    const int columns = (w + 1) / 2, rows = (h + 1) / 2;
    const u8 *near = plane + (y / 2) * stride;
    if (columns <= 2) return near[x / 2];
    const u8 *far = plane + border(y % 2 ? y / 2 + 1 : y / 2 - 1, rows, 0) * stride;
    const int other = border(x % 2 ? x / 2 + 1 : x / 2 - 1, columns, 0);
    const int here = 3 * near[x / 2] + far[x / 2], there = 3 * near[other] + far[other];
    return (3 * here + there + (x % 2 ? 7 : 8)) >> 4;
}

// b2 luma of i0 columns, b3 blue and b4 red of half as many; a thread a pixel.
extern "C" __global__ void jpeg_rgb(Params p) {
    PLACE
    const int x = at % p.w, y = at / p.w;
    const int l = p.b[2][y * p.i[0] + x];
    const int b = upsampled(p.b[3], p.i[0] / 2, p.w, p.h, x, y) - 128;
    const int r = upsampled(p.b[4], p.i[0] / 2, p.w, p.h, x, y) - 128;
    const int v[3] = {l + ((91881 * r + 32768) >> 16), l + ((-22554 * b - 46802 * r + 32768) >> 16),
                      l + ((116130 * b + 32768) >> 16)};
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = v[c] < 0 ? 0 : v[c] > 255 ? 255 : v[c];
}
