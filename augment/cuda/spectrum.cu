// Noise made from its spectrum: squares of i0 x i0 complex numbers.
#include "common.cuh"

__device__ static inline float waves(int i, int n) { return (i < n / 2 ? (float)i : (float)i - (float)n) / (float)n; }

// b2 target; i1: 0 blue up to f0 waves a pixel, 1 brown, f0 long; a thread a number.
extern "C" __global__ void spectrum(Params p) {
    PLACE
    const int n = p.i[0], x = at % n, y = at / n;
    const float f = length(waves(x, n), waves(y, n)), scaled = f * p.f[0];
    const float power = p.i[1] ? 1.f / (scaled * scaled + 1.f) : f <= p.f[0] ? f : 0.f;
    const float strength = at == 0 ? 0.f : power;
    float s, c;
    turn(uniform(row_key(p.key, y), x), &s, &c);
    F32(2)[2 * at] = strength * c;
    F32(2)[2 * at + 1] = strength * s;
}

// b2 source, b3 target: each line in the order that butterflies begin with; i1 bits of a place; a thread a number.
extern "C" __global__ void bit_reverse(Params p) {
    PLACE
    const int n = p.i[0], x = at % n;
    int from = 0;
    for (int bit = 0; bit < p.i[1]; bit++) from |= ((x >> bit) & 1) << (p.i[1] - 1 - bit);
    for (int k = 0; k < 2; k++) F32(3)[2 * at + k] = F32(2)[2 * (at - x + from) + k];
}

// b2 the square, b3 e^(2 pi i k / n); i1 half of a butterfly's width; a thread a pair.
extern "C" __global__ void butterflies(Params p) {
    PLACE
    const int n = p.i[0], half = p.i[1], pair = at % (n / 2), k = pair % half;
    float *a = F32(2) + 2 * (at / (n / 2) * n + pair / half * 2 * half + k), *b = a + 2 * half;
    const float *turn = F32(3) + 2 * (k * (n / (2 * half)));
    const float re = b[0] * turn[0] - b[1] * turn[1], im = b[0] * turn[1] + b[1] * turn[0];
    b[0] = a[0] - re;
    b[1] = a[1] - im;
    a[0] += re;
    a[1] += im;
}

// b2 source, b3 target; a thread a number.
extern "C" __global__ void transpose(Params p) {
    PLACE
    const int from = at % p.i[0] * p.i[0] + at / p.i[0];
    for (int k = 0; k < 2; k++) F32(3)[2 * at + k] = F32(2)[2 * from + k];
}

// b2 the square, b3 a sum for each row of the picture, b4 the mean so far; i1: 0 of the values, 1 of the squares of what
// they are from the mean; a thread a row.
extern "C" __global__ void row_moments(Params p) {
    PLACE
    const double mean = p.i[1] ? ((double *)p.b[4])[0] : 0.0;
    double sum = 0.0;
    for (int x = 0; x < p.w; x++) {
        const double v = (double)F32(2)[2 * (at * p.i[0] + x)];
        sum += p.i[1] ? (v - mean) * (v - mean) : v;
    }
    ((double *)p.b[3])[at] = sum;
}

// b2 sums of the rows, b3 mean and variance; i0 which of them; one thread.
extern "C" __global__ void whole_moment(Params p) {
    PLACE
    double sum = 0.0;
    for (int y = 0; y < p.h; y++) sum += ((double *)p.b[2])[y];
    ((double *)p.b[3])[p.i[0]] = sum / ((double)p.w * (double)p.h);
}

// b2 the square, b3 its moments, b4 a plane of mean 0 and deviation 1; a thread a pixel.
extern "C" __global__ void standard(Params p) {
    PLACE
    const double *moment = (const double *)p.b[3];
    const double scale = 1.0 / fmax(sqrt(moment[1]), 1e-20);
    F32(4)[at] = (float)(((double)F32(2)[2 * (at / p.w * p.i[0] + at % p.w)] - moment[0]) * scale);
}

// b2 noise; f0 above it a pixel stays; a thread a pixel.
extern "C" __global__ void blue_sample(Params p) {
    PLACE
    for (int c = 0; c < 3; c++) p.b[1][3 * at + c] = F32(2)[at] > p.f[0] ? p.b[0][3 * at + c] : 0;
}

// b2, b3, b4 noise of red, green, blue; f0 greys; a thread a pixel.
extern "C" __global__ void brownish(Params p) {
    PLACE
    for (int c = 0; c < 3; c++)
        p.b[1][3 * at + c] = byte((float)p.b[0][3 * at + c] + p.f[0] * F32(2 + c)[at]);
}
