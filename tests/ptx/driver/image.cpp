// SPDX-License-Identifier: MIT
// Images of modules: PTX text, or fat binaries that hold some.
//
// A fat binary is: u32 magic 0xba55ed50, u16 version, u16 size of the header, u64 bytes that follow; then entries of
// u16 kind (1 PTX, 2 cubin), u16, u32 size of the entry's header, u64 padded size of its payload, u32 size if
// compressed (0 if not), ..., at 28 u32 architecture.
#include <cstring>

#include "state.hpp"

namespace ptx {
namespace {

constexpr u32 kFatBinary = 0xba55ed50, kWrapper = 0x466243b1, kElf = 0x464c457f;
constexpr u16 kPtxEntry = 1;

template <class T>
T read(const u8* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::string ptx_of_fat_binary(const u8* image) {
  const u8* const begin = image + read<u16>(image + 6);
  const u8* const end = begin + read<u64>(image + 8);
  const u32 wanted = architecture();
  const u8* best = nullptr;
  bool compressed = false;
  std::string seen;
  for (const u8* entry = begin; end - entry >= 32;) {
    const u32 header = read<u32>(entry + 4), arch = read<u32>(entry + 28);
    const u64 payload = read<u64>(entry + 8);
    if (header < 32 || header > u64(end - entry) || payload > u64(end - entry) - header)
      throw Error("the fat binary is damaged");
    if (read<u16>(entry) == kPtxEntry) {
      seen += cat(seen.empty() ? "" : ", ", arch);
      if (read<u32>(entry + 16) != 0)
        compressed = true;
      else if (arch <= wanted && (best == nullptr || arch > read<u32>(best + 28)))
        best = entry;
    }
    entry += header + payload;
  }
  if (best == nullptr && compressed)
    throw Error("the PTX in the fat binary is compressed: make it with nvcc --no-compress");
  if (best == nullptr)
    throw Error(cat("the fat binary has no PTX that runs on architecture ", wanted,
                    " (PTX_ARCH); it has PTX for: ", seen.empty() ? "none" : seen));
  const char* const text = reinterpret_cast<const char*>(best) + read<u32>(best + 4);
  return std::string(text, ::strnlen(text, read<u64>(best + 8)));
}

}  // namespace

std::string ptx_of_image(const void* image) {
  const auto* const bytes = static_cast<const u8*>(image);
  // text may be shorter than a magic number
  u32 magic = 0;
  for (u32 k = 0; k < 4 && (k == 0 || bytes[k - 1] != 0); ++k) magic |= u32{bytes[k]} << (8 * k);
  if (magic == kFatBinary) return ptx_of_fat_binary(bytes);
  if (magic == kWrapper) return ptx_of_image(read<const void*>(bytes + 8));
  if (magic == kElf) throw Error("the image is a cubin: this machine runs PTX only");
  return std::string(static_cast<const char*>(image));
}

}  // namespace ptx
