// SPDX-License-Identifier: MIT
// How the stand-in cuBLAS reaches the memory of the stand-in driver.
#pragma once

extern "C" {

/// The host's view of device memory that `who` reads (or writes: then it counts as written).  If the range is not in
/// one allocation, or is read and was never written, says so, leaves the error in the current context and returns
/// nullptr.
__attribute__((visibility("default"))) void* ptx_machine_bytes(unsigned long long address, unsigned long long bytes,
                                                               int writes, const char* who);
}
