// SPDX-License-Identifier: MIT
// Functions that the driver supplies to kernels: printf and the end of a failed assertion.
#pragma once
#include <string_view>

#include "program.hpp"

namespace ptx {

/// What a call of a built-in function does; nullptr if there is none of that name.
using Builtin = void (*)(Warp& warp, const Inst& inst, const Call& call);
Builtin find_builtin(std::string_view name);

}  // namespace ptx
