// SPDX-License-Identifier: MIT
#include "counters.hpp"

#include <algorithm>

namespace ptx {
namespace {

/// Distinct values of f(address) over the lanes; sorts only where the lanes do not ascend.
template <class F>
u32 distinct(u32 mask, const u64* addresses, F&& f) {
  std::array<u64, kLanes> values;
  u32 n = 0;
  bool ascending = true;
  each_lane(mask, [&](u32 lane) {
    const u64 value = f(addresses[lane]);
    if (n > 0 && value == values[n - 1]) return;
    ascending &= n == 0 || value > values[n - 1];
    values[n++] = value;
  });
  if (ascending) return n;
  std::sort(values.begin(), values.begin() + n);
  return u32(std::unique(values.begin(), values.begin() + n) - values.begin());
}

/// Words of the lanes [begin, end) on the fullest bank.
u32 wavefronts(u32 mask, const u64* addresses, u32 bytes, u32 begin, u32 end) {
  std::array<u64, 2 * kLanes> words;
  u32 n = 0;
  for (u32 lane = begin; lane < end; ++lane)
    if (mask >> lane & 1)
      for (u32 k = 0; k < (bytes + 3) / 4; ++k) words[n++] = addresses[lane] / 4 + k;
  std::sort(words.begin(), words.begin() + n);
  const auto last = std::unique(words.begin(), words.begin() + n);
  std::array<u32, 32> on_bank{};
  u32 most = 0;
  for (auto word = words.begin(); word != last; ++word) most = std::max(most, ++on_bank[*word % 32]);
  return most;
}

}  // namespace

void Counters::count_global(u32 mask, const u64* addresses, u32 bytes) {
  ++global_requests;
  u32 sectors = distinct(mask, addresses, [](u64 a) { return a / 32; });
  if (bytes == 64) sectors *= 2;
  const u32 elements = distinct(mask, addresses, [](u64 a) { return a; });
  global_sectors += sectors;
  global_bytes += u64{elements} * bytes;
  global_sectors_ideal += (u64{elements} * bytes + 31) / 32;
}

void Counters::count_shared(u32 mask, const u64* addresses, u32 bytes) {
  ++shared_requests;
  const u32 elements = distinct(mask, addresses, [](u64 a) { return a; });
  if (elements == 1) {
    ++shared_wavefronts;
    ++shared_wavefronts_ideal;
    return;
  }
  // 8 bytes go by half warps, 16 by quarters.
  const u32 lanes = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8;
  for (u32 begin = 0; begin < kLanes; begin += lanes) {
    const u32 waves = wavefronts(mask, addresses, std::min(bytes, 16u), begin, begin + lanes);
    shared_wavefronts += waves;
    shared_wavefronts_ideal += waves > 0 ? 1 : 0;
  }
}

std::string_view class_name(Class kind) {
  constexpr std::string_view names[] = {"integer",          "float",  "double", "half",  "convert", "move",  "compare",
                                        "special_function", "matrix", "load",   "store", "atomic",  "async", "warp",
                                        "barrier",          "control"};
  return names[std::size_t(kind)];
}

}  // namespace ptx
