// SPDX-License-Identifier: MIT
// PTX text as tokens.
#pragma once
#include <string>
#include <vector>

#include "types.hpp"

namespace ptx {

struct Token {
  enum class Kind : u8 { kWord, kNumber, kString, kMark, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;
  u32 line = 0;
};

/// Words keep their dots and double colons ("ld.shared::cta.u32").  The last token is kEnd.  Throws Error.
std::vector<Token> tokenize(const std::string& text);

}  // namespace ptx
