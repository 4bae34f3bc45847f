// SPDX-License-Identifier: MIT
// The second unit of the user's program in main.cpp.
#include <hstu/hstu.hpp>

decltype(&hstu::checked_mul) checked_mul_seen_by_other_unit();
std::string error_seen_by_other_unit();

decltype(&hstu::checked_mul) checked_mul_seen_by_other_unit() { return &hstu::checked_mul; }

std::string error_seen_by_other_unit() {
  try {
    hstu::checked_mul(-1, 2);
  } catch (const hstu::ShapeError& error) {
    return error.what();
  }
  return {};
}
