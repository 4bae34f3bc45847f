// SPDX-License-Identifier: MIT
// How the losses of positions become one number.
#pragma once

namespace hstu {

/// mean: over the counted positions of the call;  sum: of them, for callers that divide by a count of several calls.
enum class Reduction { mean, sum };

}  // namespace hstu
