// SPDX-License-Identifier: MIT
// A kernel as it should be and the same kernel with one mistake: NAME_right and NAME_wrong.
#pragma once

#define PTX_PAIR(name, parameters, arguments)                                  \
  extern "C" __global__ void name##_right parameters { name<true> arguments; } \
  extern "C" __global__ void name##_wrong parameters { name<false> arguments; }
