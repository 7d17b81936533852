// Blurs; a thread an element unless said otherwise.
#include "common.cuh"

// One pass of a symmetric kernel. b2 source, b3 target, b4 the kernel from its centre outwards; i0 its radius,
// i1 interleaved channels, i2 along the rows (else down), i3 the border, i4 the source is bytes, i5 the target is
// bytes; f0 factor, f1 addend of a byte target.
extern "C" __global__ void filter_axis(Params p) {
    PLACE
    const int channels = p.i[1], stride = p.w * channels;
    const int y = at / stride, x = at % stride / channels, c = at % channels;
    float sum = 0.f;
    for (int d = 0; d <= p.i[0]; d++) {
        float pair = 0.f;
        for (int side = -1; side <= 1; side += 2) {
            const int row = p.i[2] ? y : border(y + side * d, p.h, p.i[3]);
            const int column = p.i[2] ? border(x + side * d, p.w, p.i[3]) : x;
            const int from = row * stride + column * channels + c;
            pair += p.i[4] ? (float)p.b[2][from] : F32(2)[from];
        }
        const float weight = d == 0 ? F32(4)[0] * 0.5f : F32(4)[d];
        sum = d == 0 ? weight * pair : sum + weight * pair;
    }
    if (p.i[5]) p.b[3][at] = byte(sum * p.f[0] + p.f[1]);
    else F32(3)[at] = sum;
}

// b2 target, b3 runs (row, middle column, half width): i0 of the disk, i1 gained and i2 lost at the grid's end;
// f0 the weight of those.
extern "C" __global__ void disk_sums(Params p) {
    PLACE
    const int stride = 3 * p.w, y = at / stride, x = at % stride / 3, c = at % 3;
    int total = 0, gain = 0;
    const int runs = p.i[0] + p.i[1] + p.i[2];
    for (int r = 0; r < runs; r++) {
        const int *run = I32(3) + 3 * r;
        const u8 *row = p.b[0] + border(y + run[0], p.h, 2) * stride + c;
        int sum = 0;
        for (int k = -run[2]; k <= run[2]; k++) sum += row[3 * border(x + run[1] + k, p.w, 2)];
        if (r < p.i[0]) total += sum;
        else gain += r < p.i[0] + p.i[1] ? sum : -sum;
    }
    F32(2)[at] = (float)total + p.f[0] * (float)gain;
}

// b2 source, b3 target, b4 taps (right, down), b5 their weights; i0 taps, i1 channels, i4 the source is bytes,
// i5 the target is bytes.
extern "C" __global__ void streak(Params p) {
    PLACE
    const int channels = p.i[1], stride = p.w * channels;
    const int y = at / stride, x = at % stride / channels, c = at % channels;
    float sum = 0.f;
    for (int k = 0; k < p.i[0]; k++) {
        const int row = border(y - I32(4)[2 * k + 1], p.h, 0), column = border(x - I32(4)[2 * k], p.w, 0);
        const int from = row * stride + column * channels + c;
        sum += F32(5)[k] * (p.i[4] ? (float)p.b[2][from] : F32(2)[from]);
    }
    if (p.i[5]) p.b[3][at] = byte(sum + 0.002f);
    else F32(3)[at] = sum;
}

// b2 columns and b4 lines (place, distance to the next), b3 and b5 the next one's weights; i0 copies.
extern "C" __global__ void zoom(Params p) {
    PLACE
    const int stride = 3 * p.w, y = at / stride, x = at % stride / 3, c = at % 3;
    float sum = 2.f * (float)p.b[0][at];
    for (int k = 0; k < p.i[0]; k++) {
        const int *column = I32(2) + 2 * (k * p.w + x), *line = I32(4) + 2 * (k * p.h + y);
        const float across = F32(3)[k * p.w + x], down = F32(5)[k * p.h + y];
        float end[2];
        for (int side = 0; side < 2; side++) {
            const u8 *from = p.b[0] + 3 * (column[0] + side * column[1]) + c;
            const float a = from[line[0] * stride], b = from[(line[0] + line[1]) * stride];
            end[side] = a + (b - a) * down;
        }
        sum += end[0] + (end[1] - end[0]) * across;
    }
    p.b[1][at] = byte(sum * (1.f / (float)(p.i[0] + 2)) + 0.002f);
}

// Frosted glass: each pixel's value is traced back through the sweeps instead of running them in order. b2 the blurred
// picture, b3 the result; i0 reach, i1 sweeps, f1 grain;
// a thread a pixel.
extern "C" __global__ void shuffle(Params p) {
    PLACE
    int y = at / p.w, x = at % p.w;
    const int reach = p.i[0];
    for (int sweep = p.i[1] - 1; sweep >= 0;) {
        if (y <= reach || y > p.h - reach || x <= reach || x > p.w - reach) {
            sweep--;
            continue;
        }
        const u32 b = bits(row_key(p.key, cell(y, p.f[1]) + sweep * p.h), cell(x, p.f[1]));
        const int right = ((b & 0xffff) * (u32)(2 * reach)) >> 16, down = ((b >> 16) * (u32)(2 * reach)) >> 16;
        const int fy = y + down - reach, fx = x + right - reach;
        // What stands later in the picture was moved before this pixel in the same sweep.
        if (fy < y || (fy == y && fx <= x)) sweep--;
        y = fy;
        x = fx;
    }
    for (int c = 0; c < 3; c++) p.b[3][3 * at + c] = p.b[2][3 * (y * p.w + x) + c];
}
