// What a kernel needs of CUDA to be compiled for the CPU: a launch is a loop over its threads, one after another.
// Kernels use no shared memory and no barriers, so that this is a true run of them.
#pragma once
#include <algorithm>
#include <cmath>

#define __global__
#define __device__
#define __forceinline__ inline

struct Index { unsigned x, y, z; };
static Index blockIdx, threadIdx, blockDim{1, 1, 1};

using std::max;
using std::min;

static inline unsigned long long atomicAdd(unsigned long long *to, unsigned long long v) { return *to += v; }
static inline int atomicMin(int *to, int v) { return *to = std::min(*to, v); }
static inline int atomicMax(int *to, int v) { return *to = std::max(*to, v); }
