// SPDX-License-Identifier: MIT
// Images of modules: PTX text, or fat binaries that hold some.
//
// A fat binary is: u32 magic 0xba55ed50, u16 version, u16 size of the header, u64 bytes that follow; then entries of
// u16 kind (1 PTX, 2 cubin), u16, u32 size of the entry's header, u64 padded size of its payload, u32 size if
// compressed (0 if not), ..., at 28 u32 architecture, at 40 u64 flags, at 56 u64 size of the text if it is compressed.
#include <cstring>

#include "decompress.hpp"
#include "state.hpp"

namespace ptx {
namespace {

constexpr u32 kFatBinary = 0xba55ed50, kWrapper = 0x466243b1, kElf = 0x464c457f;
constexpr u16 kPtxEntry = 1;
constexpr u64 kLz4 = 0x2000, kZstd = 0x8000;

template <class T>
T read(const u8* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

std::string text_of_entry(const u8* entry) {
  const u8* const payload = entry + read<u32>(entry + 4);
  const u32 compressed = read<u32>(entry + 16);
  const u64 flags = read<u64>(entry + 40), size = read<u64>(entry + 56);
  if (compressed == 0) {
    const char* const text = reinterpret_cast<const char*>(payload);
    return std::string(text, ::strnlen(text, read<u64>(entry + 8)));
  }
  if (compressed > read<u64>(entry + 8)) throw Error("the fat binary is damaged");
  if (flags & kZstd) return decompress_zstd(payload, compressed, size);
  if (flags & kLz4) return decompress_lz4(payload, compressed, size);
  throw Error("the PTX in the fat binary is compressed in an unknown way: make it with nvcc --no-compress");
}

std::string ptx_of_fat_binary(const u8* image) {
  const u8* const begin = image + read<u16>(image + 6);
  const u8* const end = begin + read<u64>(image + 8);
  const u32 wanted = architecture();
  const u8* best = nullptr;
  std::string seen;
  for (const u8* entry = begin; end - entry >= 64;) {
    const u32 header = read<u32>(entry + 4), arch = read<u32>(entry + 28);
    const u64 payload = read<u64>(entry + 8);
    if (header < 64 || header > u64(end - entry) || payload > u64(end - entry) - header)
      throw Error("the fat binary is damaged");
    if (read<u16>(entry) == kPtxEntry) {
      seen += cat(seen.empty() ? "" : ", ", arch);
      if (arch <= wanted && (best == nullptr || arch > read<u32>(best + 28))) best = entry;
    }
    entry += header + payload;
  }
  if (best == nullptr)
    throw Error(cat("the fat binary has no PTX that runs on architecture ", wanted,
                    " (PTX_ARCH); it has PTX for: ", seen.empty() ? "none" : seen));
  std::string text = text_of_entry(best);
  return text.substr(0, text.find('\0'));
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
