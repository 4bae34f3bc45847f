// SPDX-License-Identifier: MIT
// Modifiers that loads, stores, atomics and copies share.
#pragma once
#include "decoder.hpp"

namespace ptx {

/// Takes space, ordering, scope and cache hints; sets space and strong.  True if an operand with a cache policy
/// follows.
bool take_memory_modifiers(Decoder& d);

}  // namespace ptx
