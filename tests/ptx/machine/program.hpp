// SPDX-License-Identifier: MIT
// A module ready to run: instructions with a function for 32 lanes each, operands as places in memory.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "source.hpp"

namespace ptx {

struct Warp;
struct Inst;
struct Allocation;

/// Executes an instruction for the lanes of warp.mask.
using Handler = void (*)(Warp& warp, const Inst& inst);

enum class Flow : u8 { kNext, kBranch, kBranchIndex, kReturn, kExit, kTrap, kBarrier, kCall };

/// What the counters tell apart.
enum class Class : u8 {
  kInteger,
  kFloat,
  kDouble,
  kHalf,
  kConvert,
  kMove,
  kCompare,
  kSpecialFunction,
  kMatrix,
  kLoad,
  kStore,
  kAtomic,
  kAsync,
  kWarp,
  kBarrier,
  kControl,
  kCount
};

/// An operand is a byte offset: into the registers of the warp, or with the top bit set into the module's constants.
/// 1, 2 and 4-byte values take 4 bytes per lane (the upper ones zero), 8-byte values 8; a predicate is one mask.
inline constexpr u32 kConstantBit = 0x80000000u;
inline constexpr u32 kNoOperand = 0x7fffffffu;

struct Inst {
  Handler run = nullptr;
  Handler inner = nullptr;  ///< what run wraps
  int rounding = 0;         ///< of inner, as in <cfenv>
  Flow flow = Flow::kNext;
  Class kind = Class::kInteger;
  Space space = Space::kGeneric;
  bool reconverges = false;  ///< lanes that parted may meet here
  bool guard_negated = false;
  bool wide_address = false;  ///< the address is a register of 64 bits
  bool strong = false;        ///< volatile, relaxed, acquire or release
  bool releases = false;      ///< publishes what the block wrote before
  u8 count = 1;               ///< elements of a vector
  u8 size = 4;                ///< bytes of an element
  u8 mode = 0;                ///< what the handler makes of it
  u32 guard = kNoOperand;
  std::array<u32, 16> o;  ///< results, then sources
  u32 more = 0;           ///< first of further operands in Code::more
  u32 address = kNoOperand, address2 = kNoOperand;
  s64 offset = 0, offset2 = 0;
  u64 immediate = 0;
  u32 target = 0;  ///< kBranch: instruction; kBranchIndex, kCall: number in the tables of Code
  u32 meet = 0;    ///< kBranch, kBranchIndex: where the ways meet again
  u32 line = 0, file = 0, file_line = 0;
  mutable Allocation* cache = nullptr;

  Inst() { o.fill(kNoOperand); }
};

/// Bytes of a parameter of a call, in the thread's local memory.
struct Copy {
  u32 from = 0, to = 0, bytes = 0;
};

struct Code;

struct Call {
  const Code* callee = nullptr;
  std::string name;
  std::vector<Copy> arguments, results;  ///< arguments: caller to callee; results: callee to caller
};

/// A function or kernel.
struct Code {
  std::string name;
  bool is_entry = false;
  std::vector<Inst> insts;  ///< the last one is a kReturn
  std::vector<std::vector<u32>> branch_tables;
  std::vector<Call> calls;
  std::vector<u32> more;  ///< operands of instructions that have more than 16
  u32 register_bytes = 0;
  u32 local_bytes = 0;                    ///< of one thread, this function alone
  u32 stack_bytes = 0;                    ///< with all that it calls
  std::vector<Copy> parameters, results;  ///< to: place in the parameter block, or in local memory
  u32 parameter_bytes = 0;
  u32 shared_bytes = 0, dynamic_offset = 0;
  bool uses_dynamic = false;
  u32 shared_granule = 4;  ///< smallest access to shared memory
  bool has_cas = false;
  bool uses_workspace = false;  ///< of the grid, for cooperative groups
  u32 max_threads = 0;
  std::array<u32, 3> required_threads{};

  /// Instructions that can follow the given one, but not come before it: a thread that executes one of them is past it.
  const std::vector<bool>& beyond(u32 inst) const;

 private:
  std::vector<u32> successors(u32 inst) const;
  mutable std::map<u32, std::vector<bool>> beyond_;
};

struct Module {
  std::string name;
  Source source;
  std::vector<std::unique_ptr<Code>> codes;
  std::map<std::string, Code*, std::less<>> kernels;
  std::map<std::string, std::pair<u64, u64>, std::less<>> variables;  ///< address and bytes of .global and .const
  std::vector<u8> constants;

  /// The operand that holds the value in every lane.
  u32 constant(u32 bytes, u64 bits);

 private:
  std::map<std::pair<u32, u64>, u32> known_;
};

class Memory;

/// Parses and translates; allocates the module's variables.  Throws Error.
std::unique_ptr<Module> load_module(const std::string& name, const std::string& text, Memory& memory);

}  // namespace ptx
