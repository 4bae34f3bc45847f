// SPDX-License-Identifier: MIT
// A user's program of two units: both include everything, and must link and agree on what is inline.
#include <hstu/hstu.hpp>

#include <iostream>

decltype(&hstu::checked_mul) checked_mul_seen_by_other_unit();
std::string error_seen_by_other_unit();

int main() {
  const bool agrees = checked_mul_seen_by_other_unit() == &hstu::checked_mul &&
                      error_seen_by_other_unit().find("must not be negative") != std::string::npos;
  std::cout << "hstu " << hstu::kVersion << (agrees ? ": two units agree\n" : ": two units differ\n");
  return agrees ? 0 : 1;
}
