// SPDX-License-Identifier: MIT
// hstu_kernel_report FILE [--needs WORK] [--json]: the launches of a PTX_REPORT file, added up per kernel, beside what
// the bytes asked for would take at least.  WORK is what bench_gpu_kernels --once WORK wrote in the same run: then only
// the launches that it names count, beside the bytes and products that they need.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

using nlohmann::json;

struct Row {
  std::string kernel;
  std::uint64_t launches = 0, warp_instructions = 0, mma_flops = 0, sectors = 0, sectors_ideal = 0, waves = 0,
                waves_ideal = 0, bytes = 0, atomics = 0, needed_bytes = 0, needed_flops = 0;
};

/// What the launches need, in their order; others may stand in between.
class Needs {
 public:
  explicit Needs(std::vector<json> lines) : lines_(std::move(lines)) {}
  /// The line of this launch, the next that is not yet used; null if the launch is none of those.
  const json* take(const std::string& kernel) {
    if (next_ == lines_.size()) return nullptr;
    const std::string name = lines_[next_].at("kernel");
    return kernel == name || kernel.starts_with(name + '_') ? &lines_[next_++] : nullptr;
  }
  bool all_taken() const { return next_ == lines_.size(); }

 private:
  std::vector<json> lines_;
  std::size_t next_ = 0;
};

/// Throws nlohmann::json::exception if a line is no report of a launch.
void add(std::vector<Row>& rows, const json& launch, Needs* needs) {
  const std::string kernel = launch.at("kernel");
  const json* const need = needs == nullptr ? nullptr : needs->take(kernel);
  if (needs != nullptr && need == nullptr) return;
  auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.kernel == kernel; });
  if (row == rows.end()) row = rows.insert(rows.end(), Row{.kernel = kernel});
  const auto count = [&](const char* name) { return launch.at(name).get<std::uint64_t>(); };
  ++row->launches;
  row->warp_instructions += count("warp_instructions");
  row->mma_flops += count("mma_flops");
  row->sectors += count("global_sectors");
  row->sectors_ideal += count("global_sectors_ideal");
  row->waves += count("shared_wavefronts");
  row->waves_ideal += count("shared_wavefronts_ideal");
  row->bytes += count("global_bytes");
  row->atomics += count("atomics");
  if (need == nullptr) return;
  row->needed_bytes += need->at("bytes").get<std::uint64_t>();
  row->needed_flops += need->at("flops").get<std::uint64_t>();
}

constexpr std::uint64_t kSectorBytes = 32;

double ratio(std::uint64_t actual, std::uint64_t ideal) {
  return ideal == 0 ? 1.0 : static_cast<double>(actual) / static_cast<double>(ideal);
}

void print_table(const std::vector<Row>& rows, bool has_needs) {
  std::size_t width = 6;
  for (const Row& r : rows) width = std::max(width, r.kernel.size());
  std::printf("%-*s %8s %12s %10s %11s %11s %6s %11s %6s %9s%s\n", int(width), "kernel", "launches", "warp instr",
              "mma MFLOP", "global kB", "sectors", "/ideal", "wavefronts", "/ideal", "atomics",
              has_needs ? "   needed kB  moved/ needed MFLOP   mma/" : "");
  for (const Row& r : rows) {
    std::printf("%-*s %8llu %12llu %10.1f %11.1f %11llu %6.3f %11llu %6.3f %9llu", int(width), r.kernel.c_str(),
                static_cast<unsigned long long>(r.launches), static_cast<unsigned long long>(r.warp_instructions),
                static_cast<double>(r.mma_flops) / 1e6, static_cast<double>(r.bytes) / 1e3,
                static_cast<unsigned long long>(r.sectors), ratio(r.sectors, r.sectors_ideal),
                static_cast<unsigned long long>(r.waves), ratio(r.waves, r.waves_ideal),
                static_cast<unsigned long long>(r.atomics));
    if (has_needs) {
      std::printf(" %11.1f %6.3f %12.1f %6.3f", static_cast<double>(r.needed_bytes) / 1e3,
                  ratio(kSectorBytes * r.sectors, r.needed_bytes), static_cast<double>(r.needed_flops) / 1e6,
                  ratio(r.mma_flops, r.needed_flops));
    }
    std::printf("\n");
  }
}

void print_json(const std::vector<Row>& rows, bool has_needs) {
  json all = json::array();
  for (const Row& r : rows) {
    all.push_back({{"kernel", r.kernel},
                   {"launches", r.launches},
                   {"warp_instructions", r.warp_instructions},
                   {"mma_flops", r.mma_flops},
                   {"global_bytes", r.bytes},
                   {"global_sectors", r.sectors},
                   {"global_sectors_ratio", ratio(r.sectors, r.sectors_ideal)},
                   {"shared_wavefronts", r.waves},
                   {"shared_wavefronts_ratio", ratio(r.waves, r.waves_ideal)},
                   {"atomics", r.atomics}});
    if (!has_needs) continue;
    all.back()["needed_bytes"] = r.needed_bytes;
    all.back()["needed_flops"] = r.needed_flops;
  }
  std::cout << all.dump(2) << '\n';
}

/// Calls body for every line of JSON; false, with a message, if the file cannot be read or has another line.
template <class Body>
bool read_lines(const std::string& path, const char* what, const Body& body) {
  std::ifstream in(path);
  if (!in) {
    std::cerr << "hstu_kernel_report: cannot read " << path << '\n';
    return false;
  }
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    try {
      body(json::parse(line));
    } catch (const json::exception& error) {
      std::cerr << "hstu_kernel_report: " << path << ':' << number << ": no " << what << ": " << error.what() << '\n';
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool as_json = !arguments.empty() && arguments.back() == "--json";
  if (as_json) arguments.pop_back();
  const bool has_needs = arguments.size() == 3 && arguments[1] == "--needs";
  if (arguments.size() != (has_needs ? 3 : 1) || arguments[0].starts_with("-")) {
    std::cerr << "usage: hstu_kernel_report FILE [--needs WORK] [--json]   (FILE: what PTX_REPORT=FILE wrote)\n";
    return 2;
  }
  std::vector<json> lines;
  if (has_needs && !read_lines(arguments[2], "need of a kernel", [&](json line) {
        line.at("kernel").get<std::string>();  // throws
        lines.push_back(std::move(line));
      })) {
    return 1;
  }
  Needs needs(std::move(lines));
  std::vector<Row> rows;
  if (!read_lines(arguments[0], "report of a launch",
                  [&](const json& launch) { add(rows, launch, has_needs ? &needs : nullptr); })) {
    return 1;
  }
  if (!needs.all_taken()) {
    std::cerr << "hstu_kernel_report: " << arguments[0] << " lacks launches that " << arguments[2] << " names\n";
    return 1;
  }
  as_json ? print_json(rows, has_needs) : print_table(rows, has_needs);
  return 0;
}
