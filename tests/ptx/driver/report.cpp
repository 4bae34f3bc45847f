// SPDX-License-Identifier: MIT
// PTX_REPORT: a line of JSON per launch.
#include <cstdio>
#include <cstdlib>

#include "state.hpp"

namespace ptx {
namespace {

std::string triple(const std::array<u32, 3>& v) {
  return cat('[', v[0], ", ", v[1], ", ", v[2], ']');
}

}  // namespace

bool reports_launches() {
  const char* const path = std::getenv("PTX_REPORT");
  return path != nullptr && *path != 0;
}

void report_launch(const Kernel& kernel, const Machine::Request& request, const Counters& c) {
  if (!reports_launches()) return;
  std::ostringstream line;
  line << "{\"kernel\": \"" << kernel.code->name << "\", \"grid\": " << triple(request.grid)
       << ", \"block\": " << triple(request.block) << ", \"dynamic_shared_bytes\": " << request.dynamic_bytes;
  const std::pair<const char*, u64> fields[] = {{"warp_instructions", c.warp_instructions},
                                                {"thread_instructions", c.thread_instructions},
                                                {"mma_flops", c.mma_flops},
                                                {"global_requests", c.global_requests},
                                                {"global_bytes", c.global_bytes},
                                                {"global_sectors", c.global_sectors},
                                                {"global_sectors_ideal", c.global_sectors_ideal},
                                                {"shared_requests", c.shared_requests},
                                                {"shared_wavefronts", c.shared_wavefronts},
                                                {"shared_wavefronts_ideal", c.shared_wavefronts_ideal},
                                                {"local_requests", c.local_requests},
                                                {"atomics", c.atomics},
                                                {"branches", c.branches},
                                                {"divergent_branches", c.divergent_branches},
                                                {"barriers", c.barriers}};
  for (const auto& [name, value] : fields) line << ", \"" << name << "\": " << value;
  line << ", \"instructions\": {";
  for (std::size_t k = 0; k < c.by_class.size(); ++k)
    line << (k == 0 ? "" : ", ") << '"' << class_name(Class(k)) << "\": " << c.by_class[k];
  line << "}}\n";
  const std::string text = line.str();
  if (std::FILE* const file = std::fopen(std::getenv("PTX_REPORT"), "a")) {
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
  } else {
    std::fprintf(stderr, "========= PTX machine: cannot write PTX_REPORT=%s\n", std::getenv("PTX_REPORT"));
  }
}

}  // namespace ptx
