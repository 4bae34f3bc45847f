// SPDX-License-Identifier: MIT
// The learning rate as a function of the step.
#pragma once
#include <cmath>
#include <numbers>
#include <string>

#include <hstu/core/check.hpp>

namespace hstu {

enum class Decay { constant, cosine };

/// Linear warm-up, then constant or a cosine to a floor.
struct Schedule {
  double learning_rate = 1e-3;    ///< after the warm-up
  std::int64_t warmup_steps = 0;  ///< step s of them runs at learning_rate·(s + 1) / warmup_steps
  Decay decay = Decay::constant;
  double floor = 0.0;  ///< learning rate at the end of the cosine
};

/// "constant" or "cosine".  Throws ConfigError for other names.
inline Decay parse_decay(const std::string& name) {
  if (name == "constant") return Decay::constant;
  check<ConfigError>(name == "cosine", "schedule: expected constant or cosine, got ", name);
  return Decay::cosine;
}

/// The rate of `step`, counted from 0, in a run of `total_steps`.  From total_steps on the cosine stays at its floor.
/// docs/math.md (O5).
inline double learning_rate(const Schedule& schedule, std::int64_t step, std::int64_t total_steps) {
  check<ConfigError>(std::isfinite(schedule.learning_rate) && schedule.learning_rate >= 0,
                     "schedule: learning rate must be finite and not negative, got ", schedule.learning_rate);
  check<ConfigError>(schedule.warmup_steps >= 0, "schedule: warm-up steps must not be negative, got ",
                     schedule.warmup_steps);
  check<ConfigError>(schedule.floor >= 0 && schedule.floor <= schedule.learning_rate,
                     "schedule: the floor must be in [0, ", schedule.learning_rate, "], got ", schedule.floor);
  check<ConfigError>(step >= 0, "schedule: step must not be negative, got ", step);
  if (step < schedule.warmup_steps) {
    return schedule.learning_rate * static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  }
  if (schedule.decay == Decay::constant) return schedule.learning_rate;
  if (step >= total_steps) return schedule.floor;
  const double done =
      static_cast<double>(step - schedule.warmup_steps) / static_cast<double>(total_steps - schedule.warmup_steps);
  return schedule.floor + (schedule.learning_rate - schedule.floor) * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

}  // namespace hstu
