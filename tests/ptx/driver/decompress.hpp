// SPDX-License-Identifier: MIT
// Compressed entries of fat binaries.
#pragma once
#include <string>

#include "../machine/types.hpp"

namespace ptx {

/// nvcc's default.  Needs libzstd.so.1 at run time; throws Error without it, or if the data are damaged.
std::string decompress_zstd(const u8* data, u64 bytes, u64 size);
/// A block of LZ4 (nvcc --compress-mode=speed); throws Error if the data are damaged.
std::string decompress_lz4(const u8* data, u64 bytes, u64 size);

}  // namespace ptx
