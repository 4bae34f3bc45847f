// SPDX-License-Identifier: MIT
// Times of the kernels on a GPU: attention in TFLOP/s (causal products only; backward counted as 2.5 forwards), the
// rest in GB/s of what must move.     bench_gpu_kernels [--once]     --once: small sizes, a single run each (no
// timings)
#include <bit>
#include <chrono>
#include <cstring>
#include <iostream>

#include <hstu/cuda/attention.hpp>
#include <hstu/cuda/layer_norm.hpp>

namespace {

using namespace hstu;
using cuda::Bfloat16, cuda::Buffer, cuda::Device;

bool is_once = false;

/// Seconds of one call, from many in a row after a few to warm up.
template <class Call>
double seconds_of(const Device& device, const Call& call) {
  const int runs = is_once ? 1 : 50;
  for (int i = 0; i < runs / 10; ++i) call();
  device.synchronize();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < runs; ++i) call();
  device.synchronize();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / runs;
}

/// Values that keep scores moderate; the same for every run.
Buffer<Bfloat16> random_bfloat16(const Device& device, std::int64_t size, std::uint32_t site) {
  const RandomStream stream{.seed = 1, .step = 0, .site = site};
  std::vector<Bfloat16> bits(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const auto value = static_cast<float>(stream.uniform(i) - 0.5);
    bits[i] = static_cast<Bfloat16>(std::bit_cast<std::uint32_t>(value) >> 16);
  }
  return {device, bits};
}

struct AttentionSize {
  std::int64_t users, length, heads, dims;
};

void bench_attention(Device& device, const AttentionSize& s, AttentionKind kind) {
  const std::int64_t tokens = s.users * s.length, width = s.heads * s.dims;
  std::vector<std::int64_t> offsets, times;
  for (std::int64_t u = 0; u <= s.users; ++u) offsets.push_back(u * s.length);
  for (std::int64_t t = 0; t < tokens; ++t) times.push_back(1'000'000'000 + t % s.length * 97);
  const TimeBorders borders({.divisor = 0.301, .max_bucket = 64});
  const DistanceRows rows = signed_distance_rows(s.length);
  const std::int64_t position_rows = 2 * s.length - 1, time_rows = 65;
  const cuda::AttentionLookup lookup(device, rows, position_rows, &borders, time_rows);
  const cuda::AttentionBatch batch(device, offsets, times, times);
  Buffer<float> position(device, position_rows), time(device, time_rows);
  position.fill_zero();
  time.fill_zero();
  const cuda::GatheredBias bias(device, batch, lookup, {position.data(), time.data(), 1, 1});
  const auto q = random_bfloat16(device, tokens * width, 1), k = random_bfloat16(device, tokens * width, 2);
  const auto v = random_bfloat16(device, tokens * width, 3), dy = random_bfloat16(device, tokens * width, 4);
  Buffer<float> y(device, tokens * width), plain_dy(device, tokens * width), lse(device, tokens * s.heads);
  plain_dy.fill_zero();
  Buffer<float> dq(device, y.size()), dk(device, y.size()), dv(device, y.size());
  Buffer<float> dposition(device, position_rows), dtime(device, time_rows);
  const AttentionOptions options{.kind = kind,
                                 .num_heads = s.heads,
                                 .alpha = 1.0 / std::sqrt(static_cast<double>(s.dims)),
                                 .normalizer = static_cast<double>(s.length)};
  auto o = batch.operands<Bfloat16>(bias.bias(), options, s.dims, s.dims);
  o.q = q.data();
  o.k = k.data();
  o.v = v.data();
  o.q_stride = o.k_stride = o.v_stride = width;
  o.qk_head_stride = o.v_head_stride = static_cast<std::int32_t>(s.dims);
  cuda::AttentionBackward<Bfloat16> backward{};
  backward.of = o;
  backward.dy = dy.data();
  backward.lse = lse.data();
  backward.dq = dq.data();
  backward.dk = dk.data();
  backward.dv = dv.data();
  backward.dy_stride = backward.dq_stride = backward.dk_stride = backward.dv_stride = width;
  const double forward_s = seconds_of(device, [&] {
    cuda::attention_forward<Bfloat16>(device, batch, {o, nullptr, y.data(), lse.data(), width});
  });
  const double backward_s = seconds_of(device, [&] {
    cuda::attention_backward(device, batch, lookup, backward, {y.data(), plain_dy.data(), width, width},
                             dposition.data(), dtime.data());
  });
  const double pairs = static_cast<double>(s.users * s.heads) * 0.5 * static_cast<double>(s.length * (s.length + 1));
  const double flop = 4.0 * pairs * static_cast<double>(s.dims);
  std::cout << "| attention " << (kind == AttentionKind::silu ? "silu" : "softmax") << " | " << s.users << " x "
            << s.length << ", " << s.heads << " heads of " << s.dims << " | ";
  if (is_once)
    std::cout << "ran |\n";
  else
    std::cout << flop / forward_s / 1e12 << " TFLOP/s forward, " << 2.5 * flop / backward_s / 1e12 << " backward |\n";
}

void bench_layer_norm(Device& device, std::int64_t rows, std::int32_t cols) {
  Buffer<float> x(device, rows * cols), y(device, x.size()), mean(device, rows), rstd(device, rows);
  x.fill_zero();
  const double seconds = seconds_of(device, [&] {
    cuda::layer_norm_forward(device, {x.data(), nullptr, nullptr, nullptr, y.data(), mean.data(), rstd.data(), rows, 0,
                                      cols, 1e-5f, cuda::dropout_mask(0.0, {}, 0, cols)});
  });
  std::cout << "| layer norm forward | " << rows << " x " << cols << " | ";
  if (is_once)
    std::cout << "ran |\n";
  else
    std::cout << static_cast<double>(rows * (8 * cols + 8)) / seconds / 1e9 << " GB/s |\n";
}

}  // namespace

int main(int argc, char** argv) try {
  is_once = argc == 2 && std::strcmp(argv[1], "--once") == 0;
  if (argc > 1 && !is_once) {
    std::cerr << "usage: bench_gpu_kernels [--once]\n";
    return 2;
  }
  if (cuda::device_count() == 0) {
    std::cerr << "bench_gpu_kernels: no CUDA driver with a device\n";
    return 4;
  }
  Device device;
  std::cout << "| kernel | size | " << device.name() << " |\n| --- | --- | --- |\n";
  const std::vector<AttentionSize> shapes =
      is_once ? std::vector<AttentionSize>{{2, 40, 2, 64}}
              : std::vector<AttentionSize>{{128, 200, 2, 32}, {128, 200, 2, 64}, {128, 200, 8, 32},
                                           {32, 1024, 4, 64}, {8, 4096, 4, 64},  {8, 4096, 4, 128}};
  for (const AttentionSize& shape : shapes) {
    for (const AttentionKind kind : {AttentionKind::silu, AttentionKind::softmax}) bench_attention(device, shape, kind);
  }
  bench_layer_norm(device, is_once ? 100 : 262144, 64);
  bench_layer_norm(device, is_once ? 100 : 65536, 256);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "bench_gpu_kernels: " << error.what() << '\n';
  return 1;
}
