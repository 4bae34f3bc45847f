// SPDX-License-Identifier: MIT
// Parameters by name, and what a forward pass has to know besides its input.
#pragma once
#include <string>
#include <vector>

#include <hstu/autograd/node.hpp>
#include <hstu/core/random.hpp>

namespace hstu {

/// A parameter under the name that the PyTorch model gives it, so that weights travel both ways.
struct NamedParameter {
  std::string name;
  Tensor value;
};
using ParameterList = std::vector<NamedParameter>;

inline std::int64_t count_values(const ParameterList& parameters) {
  std::int64_t count = 0;
  for (const NamedParameter& p : parameters) count += p.value.numel();
  return count;
}

/// Uses of random numbers, one site each, so that no two draw the same values.  Those of data/ stand beside their use,
/// from 0x0DA7A001 on.
enum RandomSite : std::uint32_t {
  kSiteInit = 1,          ///< parameters: the step is the number of the parameter
  kSiteUserOrder = 2,     ///< order of users in an epoch
  kSiteNegatives = 3,     ///< negatives of the sampled softmax
  kSiteFirstDropout = 16  ///< dropout layers count on from here, in the order of the forward pass
};

/// State of one forward pass: training or not, and where its dropout draws from.
struct ForwardContext {
  bool is_training = false;
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::int64_t first_token = 0;  ///< index of the batch's first token in the whole step, if this is a chunk of it
  bool recompute = false;        ///< layers keep their input only and run again in backward
  std::uint32_t next_site = kSiteFirstDropout;

  RandomStream next_stream() { return {.seed = seed, .step = step, .site = next_site++}; }
};

}  // namespace hstu
