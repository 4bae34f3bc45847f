// SPDX-License-Identifier: MIT
// hstu --version.
#include <Eigen/Core>

#include <hstu/core/parallel.hpp>
#include <hstu/version.hpp>

#include "options.hpp"

namespace hstu::cli {

std::string version_text() {
  Sheet sheet;
  sheet.row("hstu", kVersion);
  sheet.row("Eigen", EIGEN_WORLD_VERSION, ".", EIGEN_MAJOR_VERSION, ".", EIGEN_MINOR_VERSION);
  sheet.row("nlohmann/json", NLOHMANN_JSON_VERSION_MAJOR, ".", NLOHMANN_JSON_VERSION_MINOR, ".",
            NLOHMANN_JSON_VERSION_PATCH);
  sheet.row("cxxopts", CXXOPTS__VERSION_MAJOR, ".", CXXOPTS__VERSION_MINOR, ".", CXXOPTS__VERSION_PATCH);
  sheet.row("compiler", __VERSION__);
  sheet.row("SIMD", Eigen::SimdInstructionSetsInUse());
  sheet.row("threads", num_threads());
  return sheet.text();
}

}  // namespace hstu::cli
