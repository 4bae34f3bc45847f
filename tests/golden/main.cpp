// SPDX-License-Identifier: MIT
// Runs every reference case of a folder: tests/golden, or $HSTU_GOLDEN_DIR.  One line per file, in both precisions.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "golden_file.hpp"

namespace {

using namespace hstu;
using namespace hstu::golden;

using Family = std::pair<const char*, void (*)(GoldenFile&)>;
constexpr Family kFamilies[] = {{"seed_layer", run_seed_layer},   {"seed_rel_pos_bias", run_seed_rel_pos_bias},
                                {"seed_model", run_seed_model},   {"paper_layer", run_paper_layer},
                                {"paper_model", run_paper_model}, {"meta_model", run_meta_model},
                                {"meta_attention", run_meta_attention},
                                {"meta_cached_attention", run_meta_cached_attention},
                                {"meta_norm_gate", run_meta_norm_gate},
                                {"metrics", run_metrics}};

/// "seed_model" of "seed_model_0.safetensors".
std::string family_of(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  return stem.substr(0, stem.rfind('_'));
}

Verdict run_one(const Family& family, const std::filesystem::path& path, DType dtype) {
  GoldenFile file(path, dtype);
  family.second(file);
  const auto unread = file.unread();
  check<CheckpointError>(unread.empty(), unread.size(), " tensors were not read, the first is ",
                         unread.empty() ? "" : unread.front());
  return file.verdict;
}

/// True if the case passes.
bool run(const std::filesystem::path& path) {
  const std::string name = path.filename().string(), family = family_of(path);
  const auto* found = std::ranges::find_if(kFamilies, [&](const Family& f) { return family == f.first; });
  if (found == std::end(kFamilies)) {
    std::printf("%-36s FAILED  unknown family '%s'\n", name.c_str(), family.c_str());
    return false;
  }
  try {
    const Verdict exact = run_one(*found, path, DType::float64), rounded = run_one(*found, path, DType::float32);
    const bool ok = exact.share <= 1.0 && rounded.share <= 1.0;
    std::printf("%-36s %s  float64 %.1e (%.1e of the tolerance, %s)  float32 %.1e (%.1e of the tolerance, %s)\n",
                name.c_str(), ok ? "ok    " : "FAILED", exact.largest_error, exact.share, exact.where.c_str(),
                rounded.largest_error, rounded.share, rounded.where.c_str());
    return ok;
  } catch (const std::exception& error) {
    std::printf("%-36s FAILED  %s\n", name.c_str(), error.what());
    return false;
  }
}

}  // namespace

int main() try {
  const char* folder = std::getenv("HSTU_GOLDEN_DIR");
  const std::filesystem::path where = folder != nullptr ? folder : HSTU_GOLDEN_DIR;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(where)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  int passed = 0, failed = 0;
  for (const auto& path : files) ++(run(path) ? passed : failed);
  std::printf("golden cases in %s: %d passed, %d failed\n", where.string().c_str(), passed, failed);
  if (files.empty()) std::fprintf(stderr, "hstu_golden_tests: no .safetensors file in %s\n", where.string().c_str());
  return files.empty() || failed > 0 || passed == 0 ? 1 : 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "hstu_golden_tests: %s\n", error.what());
  return 1;
}
