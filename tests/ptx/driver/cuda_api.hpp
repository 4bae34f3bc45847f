// SPDX-License-Identifier: MIT
// The driver's own declarations: their macros give every function the name under which programs look for it.
#pragma once
#pragma GCC visibility push(default)
#include <cuda.h>
#pragma GCC visibility pop
