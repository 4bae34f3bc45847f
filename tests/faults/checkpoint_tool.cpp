// SPDX-License-Identifier: MIT
// Saves and loads one checkpoint, for scripts that disturb it from outside; its step is visible in every part.
//   save RUN STEP            exit status 4, with the reason on stderr, if it fails
//   short-save RUN STEP N    the same with half of the N-th write done only; prints the number of writes
//   load RUN                 prints the step; exit status 4, with the reason on stderr, if there is no whole checkpoint
// Linked with --wrap=write, and statically: the calls of the loader are not those of a save.
#include <cstdio>
#include <string_view>

#include <hstu/train/checkpoint.hpp>

using namespace hstu;

namespace {

int short_write = 0, num_writes = 0;

Checkpoint make(int step) {
  Checkpoint checkpoint;
  checkpoint.weights.tensors["w"] = Tensor::full({3000}, step);
  checkpoint.optimizer.tensors["m"] = Tensor::full({6000}, -step);
  *checkpoint.state = {{"step", step}};
  return checkpoint;
}

int load(const char* run) {
  const Checkpoint found = load_checkpoint(run);
  const int step = required<int>(*found.state, "step", "state");
  const Checkpoint whole = make(step);
  if (serialize_safetensors(found.weights) != serialize_safetensors(whole.weights) ||
      serialize_safetensors(found.optimizer) != serialize_safetensors(whole.optimizer)) {
    throw CheckpointError("parts of several saves");
  }
  std::printf("%d\n", step);
  return 0;
}

}  // namespace

extern "C" ssize_t __real_write(int descriptor, const void* data, std::size_t size);
extern "C" ssize_t __wrap_write(int descriptor, const void* data, std::size_t size) {
  return __real_write(descriptor, data, ++num_writes == short_write ? (size + 1) / 2 : size);
}

int main(int argc, char** argv) try {
  const std::string_view verb = argc > 2 ? argv[1] : "";
  if (verb == "load") return load(argv[2]);
  short_write = verb == "short-save" && argc > 4 ? std::stoi(argv[4]) : 0;
  if (argc < 4) return std::fputs("save RUN STEP | short-save RUN STEP N | load RUN\n", stderr), 2;
  save_checkpoint(argv[2], make(std::stoi(argv[3])));
  if (verb == "short-save") std::printf("%d\n", num_writes);
  return 0;
} catch (const Error& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 4;
}
