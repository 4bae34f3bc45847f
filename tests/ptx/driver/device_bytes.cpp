// SPDX-License-Identifier: MIT
#include "device_bytes.hpp"

#include <cstdlib>

#include "state.hpp"

using namespace ptx;

extern "C" void* ptx_machine_bytes(unsigned long long address, unsigned long long bytes, int writes, const char* who) {
  void* result = nullptr;
  with_context([&](Context& context) {
    Memory& memory = state().machine.memory;
    const Allocation* const found = memory.find(address);
    if (found == nullptr || !found->holds(address, bytes)) {
      context.error = CUDA_ERROR_ILLEGAL_ADDRESS;
      return refuse(context.error, who,
                    cat("invalid ", writes ? "write" : "read", " of ", bytes, " bytes at ", hex(address), ": ",
                        memory.describe(address)));
    }
    const char* const check = std::getenv("PTX_CHECK");
    const bool checks = check == nullptr || std::string_view(check) != "off";
    if (!writes && checks && !found->is_written(address - found->base, bytes)) {
      context.error = CUDA_ERROR_LAUNCH_FAILED;
      return refuse(context.error, who, cat("read of memory never written: ", bytes, " bytes at ", hex(address)));
    }
    result = writes ? memory.view_to_write(address, bytes) : memory.view(address, bytes);
    return CUDA_SUCCESS;
  });
  return result;
}
