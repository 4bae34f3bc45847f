// SPDX-License-Identifier: MIT
// Fragments of the matrix instructions, element by element, against a product in double precision.  Layouts from the
// PTX manual; g = lane / 4, t = lane % 4.
#include "instruction.hpp"
#include "machine/numbers.hpp"

using namespace ptx_test;
using ptx::BF16, ptx::F16, ptx::u16, ptx::u32;

namespace {

enum class Input { kHalf, kBrain, kTf32 };

u32 bits_of(Input input, float x) {
  return input == Input::kHalf ? F16::narrow(x) : input == Input::kBrain ? BF16::narrow(x) : ptx::tf32_away(x);
}
float seen(Input input, float x) {
  const u32 bits = bits_of(input, x);
  return input == Input::kHalf    ? F16::wide(u16(bits))
         : input == Input::kBrain ? BF16::wide(u16(bits))
                                  : std::bit_cast<float>(bits);
}

/// Registers of the instruction, as PTX: {%a0, %a1, ...}.
std::string list(const char* name, unsigned count) {
  std::string s = "{";
  for (unsigned k = 0; k < count; ++k) s += (k == 0 ? "%" : ", %") + std::string(name) + std::to_string(k);
  return s + "}";
}

/// Reads 16 words per lane (A, then B from 4, then C from 6), executes and writes 4 words.
std::string program(const std::string& opcode, unsigned a, unsigned b, unsigned c) {
  std::string s =
      ".version 8.7\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p, .param .u64 q) {\n"
      ".reg .b64 %p, %q, %w;\n.reg .b32 %t, %a<4>, %b<2>, %c<4>, %d<4>;\n"
      "mov.u32 %t, %tid.x;\nld.param.u64 %p, [p];\nld.param.u64 %q, [q];\nmad.wide.u32 %p, %t, 64, %p;\nmad.wide.u32 "
      "%q, %t, 16, %q;\n";
  for (unsigned k = 0; k < a; ++k)
    s += "ld.global.b32 %a" + std::to_string(k) + ", [%p+" + std::to_string(4 * k) + "];\n";
  for (unsigned k = 0; k < b; ++k)
    s += "ld.global.b32 %b" + std::to_string(k) + ", [%p+" + std::to_string(16 + 4 * k) + "];\n";
  for (unsigned k = 0; k < c; ++k)
    s += "ld.global.b32 %c" + std::to_string(k) + ", [%p+" + std::to_string(24 + 4 * k) + "];\n";
  s += opcode + " " + list("d", c) + ", " + list("a", a) + ", " + list("b", b) + ", " + list("c", c) + ";\n";
  for (unsigned k = 0; k < c; ++k)
    s += "st.global.b32 [%q+" + std::to_string(4 * k) + "], %d" + std::to_string(k) + ";\n";
  return s + "ret;\n}\n";
}

void check_product(const std::string& opcode, Input input, unsigned depth, bool half_sums) {
  INFO(opcode);
  std::vector<std::vector<float>> a(16, std::vector<float>(depth)), b(depth, std::vector<float>(8)),
      c(16, std::vector<float>(8));
  unsigned state = 7;
  const auto next = [&] { return float(int((state = state * 1664525u + 1013904223u) >> 16) % 2001 - 1000) / 500.f; };
  for (auto* matrix : {&a, &b})
    for (auto& row : *matrix)
      for (float& x : row) x = seen(input, next());
  for (auto& row : c)
    for (float& x : row) x = half_sums ? F16::wide(F16::narrow(next())) : next();
  const bool wide = input == Input::kTf32;
  const unsigned per = wide ? 1 : 2, columns = 4 * per, na = 2 * depth / columns, nb = depth / columns,
                 nc = half_sums ? 2 : 4;
  std::vector<u32> words(32 * 16, 0);
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned g = lane / 4, t = lane % 4;
    u32* const w = &words[lane * 16];
    for (unsigned r = 0; r < na; ++r)
      for (unsigned e = 0; e < per; ++e)
        w[r] |= bits_of(input, a[g + 8 * (r & 1)][per * t + e + columns * (r / 2)]) << (16 * e);
    for (unsigned r = 0; r < nb; ++r)
      for (unsigned e = 0; e < per; ++e) w[4 + r] |= bits_of(input, b[per * t + e + columns * r][g]) << (16 * e);
    for (unsigned r = 0; r < nc; ++r) {
      if (half_sums)
        w[6 + r] = u32(F16::narrow(c[g + 8 * r][2 * t])) | u32(F16::narrow(c[g + 8 * r][2 * t + 1])) << 16;
      else
        w[6 + r] = std::bit_cast<u32>(c[g + 8 * (r / 2)][2 * t + (r & 1)]);
    }
  }
  Device device;
  const CUdeviceptr in = device.upload(words), out = device.allocate(512);
  REQUIRE(device.launch(device.kernel(program(opcode, na, nb, nc), "k"), {1}, {32}, 0, in, out) == CUDA_SUCCESS);
  std::vector<u32> got(128);
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned g = lane / 4, t = lane % 4;
    for (unsigned r = 0; r < nc; ++r) {
      const u32 word = device.download<u32>(out + 16 * lane + 4 * r, 1)[0];
      for (unsigned e = 0; e < (half_sums ? 2u : 1u); ++e) {
        const unsigned row = half_sums ? g + 8 * r : g + 8 * (r / 2), column = half_sums ? 2 * t + e : 2 * t + (r & 1);
        double expected = c[row][column];
        for (unsigned k = 0; k < depth; ++k) expected += double(a[row][k]) * b[k][column];
        const double value = half_sums ? F16::wide(u16(word >> (16 * e))) : std::bit_cast<float>(word);
        INFO("row " << row << ", column " << column);
        REQUIRE(std::fabs(value - expected) <= (half_sums ? 0x1p-10 : 2e-6) * (std::fabs(expected) + 1));
      }
    }
  }
}

}  // namespace

TEST_CASE("PTX matrices: mma.sync multiplies fragments of every kind", "[ptx][matrix][parity]") {
  check_product("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", Input::kBrain, 16, false);
  check_product("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", Input::kBrain, 8, false);
  check_product("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", Input::kHalf, 16, false);
  check_product("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", Input::kHalf, 8, false);
  check_product("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", Input::kHalf, 16, true);
  check_product("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", Input::kTf32, 8, false);
  check_product("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", Input::kTf32, 4, false);
}

TEST_CASE("PTX matrices: ldmatrix deals rows and columns to the lanes", "[ptx][matrix][parity]") {
  for (const unsigned count : {1u, 2u, 4u})
    for (const bool trans : {false, true}) {
      INFO(count << (trans ? " transposed" : ""));
      const std::string registers = list("r", count);
      std::string text =
          ".version 8.7\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p) {\n.reg .b64 %p, %w;\n"
          ".reg .b32 %t, %s, %r<4>;\n.shared .align 16 .b8 tile[512];\nld.param.u64 %p, [p];\nmov.u32 %t, %tid.x;\n"
          "shl.b32 %t, %t, 4;\ncvt.u64.u32 %w, %t;\nadd.s64 %p, %p, %w;\nmov.u32 %s, tile;\nadd.u32 %s, %s, %t;\n"
          "ld.global.v4.b32 {%r0, %r1, %r2, %r3}, [%p];\nst.shared.v4.b32 [%s], {%r0, %r1, %r2, %r3};\nbar.sync 0;\n"
          "ldmatrix.sync.aligned.m8n8.x" +
          std::to_string(count) + (trans ? ".trans" : "") + ".shared.b16 " + registers +
          ", [%s];\nst.global.v4.b32 [%p], {%r0, %r1, %r2, %r3};\nret;\n}\n";
      std::vector<u16> values(256);
      for (unsigned k = 0; k < 256; ++k) values[k] = u16(k);
      Device device;
      const CUdeviceptr at = device.upload(values);
      REQUIRE(device.launch(device.kernel(text, "k"), {1}, {32}, 0, at) == CUDA_SUCCESS);
      const std::vector<u16> got = device.download<u16>(at, 256);
      for (unsigned lane = 0; lane < 32; ++lane)
        for (unsigned m = 0; m < count; ++m)
          for (unsigned e = 0; e < 2; ++e) {
            const unsigned row = trans ? 2 * (lane % 4) + e : lane / 4, column = trans ? lane / 4 : 2 * (lane % 4) + e;
            REQUIRE(got[8 * lane + 2 * m + e] == 64 * m + 8 * row + column);
          }
    }
}

TEST_CASE("PTX matrices: wmma loads, multiplies and stores tiles", "[ptx][matrix][parity]") {
  for (const bool brain : {false, true}) {
    INFO(brain);
    std::vector<u16> a(512), b(512);
    const auto number = [&](u16 bits) { return double(brain ? BF16::wide(bits) : F16::wide(bits)); };
    for (unsigned k = 0; k < 512; ++k) {
      const float x = float(int(k * 37 % 23) - 11) / 8, y = float(int(k * 29 % 19) - 9) / 4;
      a[k] = brain ? BF16::narrow(x) : F16::narrow(x);
      b[k] = brain ? BF16::narrow(y) : F16::narrow(y);
    }
    Device device;
    const CUdeviceptr pa = device.upload(a), pb = device.upload(b), pc = device.allocate(1024);
    REQUIRE(device.launch(device.compiled("tiles", brain ? "tiles_brain" : "tiles_half"), {1}, {32}, 0, pc, pa, pb) ==
            CUDA_SUCCESS);
    const std::vector<float> got = device.download<float>(pc, 256);
    for (unsigned r = 0; r < 16; ++r)
      for (unsigned c = 0; c < 16; ++c) {
        double expected = 0.5;
        for (unsigned k = 0; k < 32; ++k)
          expected += number(a[r * 32 + k]) * number(brain ? b[c * 32 + k] : b[k * 16 + c]);
        REQUIRE(std::fabs(got[r * 16 + c] - 2 * expected) <= 1e-5 * (std::fabs(expected) + 1));
      }
  }
}

TEST_CASE("PTX matrices: products are counted", "[ptx][matrix][parity]") {
  const std::string path = std::string(HSTU_PTX_KERNELS) + "/counted.jsonl";
  std::remove(path.c_str());
  {
    const Environment report("PTX_REPORT", path.c_str());
    check_product("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", Input::kBrain, 16, false);
  }
  std::ifstream in(path);
  std::string line;
  REQUIRE(std::getline(in, line));
  INFO(line);
  CHECK(line.find("\"kernel\": \"k\"") != std::string::npos);
  CHECK(line.find("\"mma_flops\": 4096,") != std::string::npos);
  CHECK(line.find("\"matrix\": 1,") != std::string::npos);
}
