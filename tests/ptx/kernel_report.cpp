// SPDX-License-Identifier: MIT
// hstu_kernel_report FILE [--json]: the launches of a PTX_REPORT file, added up per kernel, beside what the bytes asked
// for would take at least.
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
                waves_ideal = 0, bytes = 0, atomics = 0;
};

/// Throws nlohmann::json::exception if a line is no report of a launch.
void add(std::vector<Row>& rows, const json& launch) {
  const std::string kernel = launch.at("kernel");
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
}

double ratio(std::uint64_t actual, std::uint64_t ideal) {
  return ideal == 0 ? 1.0 : static_cast<double>(actual) / static_cast<double>(ideal);
}

void print_table(const std::vector<Row>& rows) {
  std::size_t width = 6;
  for (const Row& r : rows) width = std::max(width, r.kernel.size());
  std::printf("%-*s %8s %12s %10s %11s %11s %6s %11s %6s %9s\n", int(width), "kernel", "launches", "warp instr",
              "mma MFLOP", "global kB", "sectors", "/ideal", "wavefronts", "/ideal", "atomics");
  for (const Row& r : rows)
    std::printf("%-*s %8llu %12llu %10.1f %11.1f %11llu %6.3f %11llu %6.3f %9llu\n", int(width), r.kernel.c_str(),
                static_cast<unsigned long long>(r.launches), static_cast<unsigned long long>(r.warp_instructions),
                static_cast<double>(r.mma_flops) / 1e6, static_cast<double>(r.bytes) / 1e3,
                static_cast<unsigned long long>(r.sectors), ratio(r.sectors, r.sectors_ideal),
                static_cast<unsigned long long>(r.waves), ratio(r.waves, r.waves_ideal),
                static_cast<unsigned long long>(r.atomics));
}

void print_json(const std::vector<Row>& rows) {
  json all = json::array();
  for (const Row& r : rows)
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
  std::cout << all.dump(2) << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool as_json = arguments.size() == 2 && arguments[1] == "--json";
  if (arguments.empty() || arguments[0].starts_with("-") || (arguments.size() > 1 && !as_json)) {
    std::cerr << "usage: hstu_kernel_report FILE [--json]   (FILE: what PTX_REPORT=FILE wrote)\n";
    return 2;
  }
  std::ifstream in(arguments[0]);
  if (!in) {
    std::cerr << "hstu_kernel_report: cannot read " << arguments[0] << '\n';
    return 1;
  }
  std::vector<Row> rows;
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    try {
      add(rows, json::parse(line));
    } catch (const json::exception& error) {
      std::cerr << "hstu_kernel_report: " << arguments[0] << ':' << number
                << ": no report of a launch: " << error.what() << '\n';
      return 1;
    }
  }
  as_json ? print_json(rows) : print_table(rows);
  return 0;
}
