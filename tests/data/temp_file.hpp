// SPDX-License-Identifier: MIT
// TempFile: a file with given bytes in a folder of its own, gone at the end of the test.
#pragma once
#include <filesystem>
#include <fstream>
#include <stdlib.h>
#include <string>
#include <string_view>

/// Temporary folder, removed with its content.
class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hstu_test_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed: " + pattern);
    path_ = pattern;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path() const { return path_.string(); }
  std::string path(std::string_view name) const { return (path_ / name).string(); }
  /// Writes `bytes` to the file `name`; returns its path.
  std::string write(std::string_view name, std::string_view bytes) const {
    std::ofstream out(path(name), std::ios::binary);
    out << bytes;
    return path(name);
  }

 private:
  std::filesystem::path path_;
};

/// One file in a folder of its own.
class TempFile {
 public:
  TempFile(std::string_view name, std::string_view bytes) : path_(folder_.write(name, bytes)) {}
  const std::string& path() const { return path_; }

 private:
  TempFolder folder_;
  std::string path_;
};
