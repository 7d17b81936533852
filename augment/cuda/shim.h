// What a kernel needs of CUDA to be compiled for the CPU: a launch is a loop over its threads, one after another.
// Kernels use no shared memory and no barriers, so that this is a true run of them. Atomics return what was there before.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>

#define __global__
#define __device__
#define __forceinline__ inline

struct Index { unsigned x, y, z; };
static Index blockIdx, threadIdx, blockDim{1, 1, 1};

using std::max;
using std::min;

static inline unsigned long long atomicAdd(unsigned long long *to, unsigned long long v) {
    const unsigned long long old = *to;
    *to += v;
    return old;
}
static inline unsigned atomicAdd(unsigned *to, unsigned v) { const unsigned old = *to; *to += v; return old; }
static inline int atomicMin(int *to, int v) { const int old = *to; *to = std::min(*to, v); return old; }
static inline int atomicMax(int *to, int v) { const int old = *to; *to = std::max(*to, v); return old; }
