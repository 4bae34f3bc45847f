// SPDX-License-Identifier: MIT
#include "decompress.hpp"

#include <dlfcn.h>

namespace ptx {
namespace {

constexpr u64 kLargest = u64{1} << 30;

}  // namespace

std::string decompress_zstd(const u8* data, u64 bytes, u64 size) {
  using Decompress = std::size_t (*)(void* to, std::size_t room, const void* from, std::size_t n);
  static void* const library = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
  static const auto decompress =
      library == nullptr ? nullptr : reinterpret_cast<Decompress>(dlsym(library, "ZSTD_decompress"));
  if (decompress == nullptr)
    throw Error(
        "the PTX in the fat binary is compressed, and libzstd.so.1 is not here: make it with nvcc --no-compress");
  if (size > kLargest) throw Error("the fat binary is damaged");
  std::string text(size, '\0');
  if (decompress(text.data(), size, data, bytes) != size)
    throw Error("the compressed PTX in the fat binary is damaged");
  return text;
}

// Sequences of: a byte with two lengths of 4 bits (15: more bytes follow, each 255 but the last), that many literals,
// the distance of a match in 2 bytes, and its length less 4.  The last sequence ends with its literals.
std::string decompress_lz4(const u8* data, u64 bytes, u64 size) {
  const u8 *p = data, *const end = data + bytes;
  const auto check = [](bool holds) {
    if (!holds) throw Error("the compressed PTX in the fat binary is damaged");
  };
  check(size <= kLargest);
  std::string text;
  const auto length = [&](u32 first) {
    u64 n = first;
    for (u8 more = 255; first == 15 && more == 255;) {
      check(p < end);
      n += more = *p++;
    }
    return n;
  };
  while (p < end) {
    const u8 lengths = *p++;
    const u64 literals = length(lengths >> 4);
    check(literals <= u64(end - p) && literals <= size - text.size());
    text.append(reinterpret_cast<const char*>(p), literals);
    p += literals;
    if (p == end) break;
    check(end - p >= 2);
    const u64 distance = u64{p[0]} | u64{p[1]} << 8;
    p += 2;
    const u64 match = length(lengths & 15) + 4;
    check(distance != 0 && distance <= text.size() && match <= size - text.size());
    for (u64 k = 0; k < match; ++k) text += text[text.size() - distance];
  }
  check(text.size() == size);
  return text;
}

}  // namespace ptx
