// SPDX-License-Identifier: MIT
// The version, written here and nowhere else; CMakeLists.txt reads the three numbers.
#pragma once
#include <string_view>

#define HSTU_VERSION_MAJOR 0
#define HSTU_VERSION_MINOR 1
#define HSTU_VERSION_PATCH 0

#define HSTU_DETAIL_TEXT_OF(x) #x
#define HSTU_DETAIL_VERSION(a, b, c) HSTU_DETAIL_TEXT_OF(a) "." HSTU_DETAIL_TEXT_OF(b) "." HSTU_DETAIL_TEXT_OF(c)

namespace hstu {
/// "major.minor.patch"
inline constexpr std::string_view kVersion =
    HSTU_DETAIL_VERSION(HSTU_VERSION_MAJOR, HSTU_VERSION_MINOR, HSTU_VERSION_PATCH);
}  // namespace hstu
