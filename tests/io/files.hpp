// SPDX-License-Identifier: MIT
// What the tests of files share: bytes and names on the disk, and the message of an expected error.
#pragma once
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "data/temp_file.hpp"

inline std::string bytes_in(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Names in a folder, sorted.
inline std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) result.push_back(entry.path().filename());
  std::ranges::sort(result);
  return result;
}

/// The message with which `body` fails as a `Kind`; empty if it succeeds.  Other exceptions pass.
template <class Kind, class Body>
std::string message_of(Body body) {
  try {
    body();
  } catch (const Kind& error) {
    return error.what();
  }
  return {};
}
