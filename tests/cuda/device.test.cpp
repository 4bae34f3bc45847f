// SPDX-License-Identifier: MIT
// The host's side of the device: errors name the call, memory goes there and back.
#include <hstu/cuda/rows.hpp>

#include "on_device.hpp"

namespace hstu {
namespace {
using test::device;
using test::says;

TEST_CASE("shared library: a missing one is an error that names all that were tried", "[cuda][device][errors]") {
  REQUIRE_THROWS_MATCHES(cuda::SharedLibrary({"libnowhere.so.1", "libnowhere.so.2"}), DeviceError,
                         says("cannot load libnowhere.so.1"));
}

TEST_CASE("shared library: a missing function is an error that names both", "[cuda][device][errors]") {
  const cuda::SharedLibrary library({"libm.so.6"});
  REQUIRE(library.find<double(double)>("cos")(0.0) == 1.0);
  REQUIRE_THROWS_MATCHES(library.find<void()>("no_such_function"), DeviceError,
                         says("libm.so.6 has no function no_such_function"));
}

TEST_CASE("kernel images: every file of kernels is there", "[cuda][device]") {
  for (const char* file : {"layer_norm", "l2_normalize", "elementwise", "adam", "embedding", "ranking"}) {
    const auto images = cuda::kernel_images();
    REQUIRE(std::ranges::count(images, file, &cuda::KernelImage::file) == 1);
  }
}

TEST_CASE("device: one that does not exist is refused", "[cuda][device][errors]") {
  device();
  REQUIRE_THROWS_MATCHES(cuda::Device(cuda::device_count()), DeviceError, says("cuda: device "));
  REQUIRE_THROWS_AS(cuda::Device(-1), DeviceError);
}

TEST_CASE("device: unknown kernels and files are refused by name", "[cuda][device][errors]") {
  REQUIRE_THROWS_MATCHES(device().launch({"no_file", "f"}, {}, 0), DeviceError, says("no kernels called no_file"));
  REQUIRE_THROWS_MATCHES(device().launch({"adam", "no_function"}, {}, 0), DeviceError,
                         says("cuModuleGetFunction: CUDA_ERROR_NOT_FOUND"));
}

TEST_CASE("device: more shared memory than there is, is refused", "[cuda][device][errors]") {
  REQUIRE_THROWS_MATCHES(device().launch({"adam", "clip_factor"}, {.shared_bytes = 1 << 30}, 0), DeviceError,
                         says("clip_factor needs 1073741824 bytes of shared memory"));
}

TEST_CASE("buffer: values go to the device and back; zeros; moves; empty ones", "[cuda][buffer]") {
  const std::vector<float> values{1.5f, -2.0f, 3.25f};
  cuda::Buffer<float> a(device(), values);
  REQUIRE(a.to_vector() == values);
  cuda::Buffer<float> b = std::move(a);
  REQUIRE(b.size() == 3);
  REQUIRE(b.to_vector() == values);
  b.fill_zero();
  REQUIRE(b.to_vector() == std::vector<float>(3, 0.0f));
  REQUIRE_THROWS_MATCHES(b.copy_from(std::vector<float>(2)), ShapeError, says("2 values for a buffer of 3"));
  const cuda::Buffer<float> empty(device(), 0);
  REQUIRE(empty.data() == nullptr);
  REQUIRE(empty.to_vector().empty());
}

TEST_CASE("dropout mask: a probability outside of [0, 1) is refused", "[cuda][dropout][errors]") {
  REQUIRE_THROWS_MATCHES(cuda::dropout_mask(1.0, {}, 0, 4), ConfigError, says("p must be in [0, 1), got 1"));
  REQUIRE_THROWS_AS(cuda::dropout_mask(-0.1, {}, 0, 4), ConfigError);
}

}  // namespace
}  // namespace hstu
