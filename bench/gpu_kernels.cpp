// SPDX-License-Identifier: MIT
// Times of the kernels on a GPU: attention and cross-entropy in TFLOP/s, the rest in GB/s of what must move.
//   bench_gpu_kernels [--once [FILE]]
// --once: small sizes, a single run each and no times; FILE receives for each kernel the bytes and products that it
// needs, which scripts/kernel_table.py puts beside the counters of the PTX machine.
#include <cstring>

#include "gpu/attention.hpp"
#include "gpu/losses.hpp"
#include "gpu/rows.hpp"

namespace {

using namespace hstu;
using namespace hstu::bench;

void bench_all(Runner& runner) {
  const bool is_once = runner.is_once();
  const std::vector<AttentionSize> shapes =
      is_once ? std::vector<AttentionSize>{{3, 200, 2, 16},  {3, 200, 2, 25}, {3, 200, 2, 50}, {3, 200, 2, 64},
                                           {3, 200, 1, 128}, {1, 512, 2, 25}, {1, 512, 2, 64}, {1, 512, 1, 128}}
              : std::vector<AttentionSize>{{128, 200, 2, 25}, {128, 200, 2, 50}, {128, 200, 2, 64}, {128, 200, 8, 32},
                                           {32, 1024, 4, 64}, {8, 4096, 4, 64},  {8, 4096, 4, 128}};
  for (const AttentionSize& shape : shapes) {
    for (const AttentionKind kind : {AttentionKind::silu, AttentionKind::softmax}) bench_attention(runner, shape, kind);
  }
  const std::int64_t masked_length = is_once ? 512 : 4096, masked_users = is_once ? 1 : 8;
  for (const AttentionSize& shape :
       {AttentionSize{masked_users, masked_length, 2, 64, {.max_attn_len = masked_length / 8}},
        AttentionSize{masked_users, masked_length, 2, 64, {}, masked_length / 2}}) {
    bench_attention(runner, shape, AttentionKind::silu);
  }
  bench_attention_tables(runner, is_once ? AttentionSize{3, 200, 2, 64} : AttentionSize{128, 200, 2, 64});
  for (const std::int32_t cols : {64, 256}) {
    const RowsSize rows{is_once ? 256 : 16'777'216 / cols, cols};
    bench_norms(runner, rows);
    bench_elementwise(runner, rows);
    bench_production(runner, rows);
    bench_embedding(runner, rows, is_once ? 100 : 3707);
  }
  bench_adam(runner, is_once ? 400'000 : 16'777'216);
  const LossSize loss = is_once ? LossSize{192, 64, 300, 20} : LossSize{16'384, 64, 3707, 128};
  bench_cross_entropy(runner, loss);
  bench_sampled_softmax(runner, loss);
  if (is_once)
    bench_ranking(runner, 4, 3707, 165, 10);
  else
    bench_ranking(runner, 1024, 3707, 165, 100);
}

}  // namespace

int main(int argc, char** argv) try {
  const bool is_once = argc >= 2 && std::strcmp(argv[1], "--once") == 0;
  if (argc > (is_once ? 3 : 1)) {
    std::cerr << "usage: bench_gpu_kernels [--once [FILE]]\n";
    return 2;
  }
  if (cuda::device_count() == 0) {
    std::cerr << "bench_gpu_kernels: no CUDA driver with a device\n";
    return 4;
  }
  cuda::Device device;
  Runner runner(device, is_once, argc == 3 ? argv[2] : "");
  bench_all(runner);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "bench_gpu_kernels: " << error.what() << '\n';
  return 1;
}
