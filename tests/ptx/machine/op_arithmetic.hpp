// SPDX-License-Identifier: MIT
// The same names (add, mul, min, ...) serve integers, floats and halves; the decoders ask these in turn.
#pragma once
#include "decoder.hpp"

namespace ptx {

/// Decodes the statement if it names f32, f64 or f32x2: true if it did.
bool decode_float(Decoder& d);
/// As decode_float, for integers with .cc, addc, subc and madc.
bool decode_carry(Decoder& d);
/// As decode_float, for f16, bf16 and pairs of them.
bool decode_half(Decoder& d);

/// Takes .rn, .rz, .rm, .rp (or the integer forms .rni, ... with `suffix` "i"); the mode of <cfenv>, or -1 if none is
/// there.
int take_rounding(Decoder& d, std::string_view suffix = "");
/// Makes the instruction's handler run with that rounding; to nearest needs nothing.
void set_rounding(Inst& inst, int mode);

}  // namespace ptx
