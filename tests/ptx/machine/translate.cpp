// SPDX-License-Identifier: MIT
#include "translate.hpp"

#include <algorithm>
#include <cstring>

#include "builtin.hpp"
#include "flow.hpp"

namespace ptx {

namespace {

/// What a function that calls itself may use of a thread's stack.
constexpr u32 kRecursionBytes = 16384;
/// Errors that one message tells.
constexpr u32 kMaxErrors = 20;

u64 initial_bits(const Initial& value, Type type) {
  if (!value.is_float) return value.bits;
  const double number = std::bit_cast<f64>(value.bits);
  return bytes_of(type) == 8 ? value.bits : std::bit_cast<u32>(f32(number));
}

}  // namespace

u32 Module::constant(u32 bytes, u64 bits) {
  if (bytes < 8) bits &= (u64{1} << (8 * bytes)) - 1;
  const u32 stored = bytes == 8 ? 8 : 4;
  const auto [entry, is_new] = known_.try_emplace({stored, bits}, u32(constants.size()));
  if (is_new) {
    constants.resize(constants.size() + kLanes * stored);
    for (u32 lane = 0; lane < kLanes; ++lane) std::memcpy(&constants[entry->second + lane * stored], &bits, stored);
  }
  return entry->second | kConstantBit;
}

std::unique_ptr<Module> load_module(const std::string& name, const std::string& text, Memory& memory) {
  auto module = std::make_unique<Module>();
  module->name = name;
  module->source = parse(text);
  Translator(*module, memory).run();
  return module;
}

void Translator::note_error(const Statement& statement, const std::string& message) {
  std::string text = statement.line <= module_.source.lines.size() ? module_.source.lines[statement.line - 1] : "";
  text.erase(0, std::min(text.find_first_not_of(" \t"), text.size()));
  if (++errors_ <= kMaxErrors)
    messages_ += cat(messages_.empty() ? "" : "\n", "kernel ", function_->name, ", line ", statement.line, ": ",
                     message, ": ", text);
}

void Translator::run() {
  place_variables();
  // Kernels first: a function may use dynamic shared memory only if it begins at one place in all of them.
  for (const bool entries : {true, false})
    for (const Function& function : module_.source.functions)
      if (function.has_body && function.is_entry == entries) translate(function);
  if (errors_ > kMaxErrors) messages_ += cat("\n... and ", errors_ - kMaxErrors, " more");
  if (errors_ > 0) throw Error(messages_);
  link_calls();
}

void Translator::place_variables() {
  for (const Variable& variable : module_.source.variables) {
    if (variable.space == Space::kShared) {
      if (variable.bytes == 0) continue;
      const u64 offset = round_up(module_shared_bytes_, variable.align);
      module_shared_.emplace(variable.name, u32(offset));
      module_shared_bytes_ = u32(offset + variable.bytes);
    } else {
      const auto kind = variable.space == Space::kConst ? Allocation::Kind::kConstant : Allocation::Kind::kVariable;
      const Allocation& made = memory_.allocate(std::max<u64>(variable.bytes, 1), kind);
      module_.variables[variable.name] = {made.base, variable.bytes};
    }
  }
  for (const Variable& variable : module_.source.variables)
    if (!variable.values.empty()) fill_variable(variable);
}

void Translator::fill_variable(const Variable& variable) {
  const u32 size = bytes_of(variable.type);
  u8* at = memory_.view(module_.variables.at(variable.name).first, variable.bytes);
  for (const Initial& value : variable.values) {
    u64 bits = initial_bits(value, variable.type);
    if (!value.symbol.empty()) {
      const auto found = module_.variables.find(value.symbol);
      if (found == module_.variables.end())
        throw Error(cat("variable ", variable.name, ": the address of ", value.symbol, " is not known"));
      bits += found->second.first;
    }
    std::memcpy(at, &bits, size);
    at += size;
  }
}

const Function* Translator::find_function(std::string_view name) const {
  const Function* result = nullptr;
  for (const Function& function : module_.source.functions)
    if (function.name == name && (result == nullptr || function.has_body)) result = &function;
  return result;
}

u32 Translator::new_register(Type type) {
  registers_.push_back(type);
  return u32(registers_.size() - 1);
}

u32 Translator::carry_register() {
  if (carry_ < 0) carry_ = int(new_register(Type::kPred));
  return u32(carry_);
}

Place Translator::place_of(const Operand& operand) {
  if (operand.kind == Operand::Kind::kVariable) return places_[operand.index];
  if (const auto found = module_.variables.find(operand.name); found != module_.variables.end())
    return {Space::kGlobal, found->second.first};
  if (const auto found = module_shared_.find(operand.name); found != module_shared_.end())
    return {Space::kShared, found->second};
  for (const Variable& variable : module_.source.variables)
    if (variable.space == Space::kShared && variable.name == operand.name) {
      code_->uses_dynamic = true;
      if (!code_->is_entry) functions_use_dynamic_ = true;
      return {Space::kShared, code_->dynamic_offset};
    }
  throw Error(cat("'", operand.name, "' is not declared"));
}

void Translator::place_locals() {
  places_.clear();
  code_->shared_bytes = module_shared_bytes_;
  u32 dynamic_align = 16;
  for (const Variable& variable : function_->variables) {
    Place place{variable.space, 0};
    const auto append = [&](u32& bytes) {
      place.offset = round_up(bytes, std::max(variable.align, 1u));
      bytes = u32(place.offset + variable.bytes);
    };
    const std::size_t number = places_.size();
    const bool of_kernel = std::count(function_->parameters.begin(), function_->parameters.end(), number) != 0;
    if (variable.space == Space::kShared) {
      append(code_->shared_bytes);
    } else if (variable.space == Space::kParam && function_->is_entry && of_kernel) {
      append(code_->parameter_bytes);
      code_->parameters.push_back({0, u32(place.offset), u32(variable.bytes)});
    } else {
      place.space = Space::kLocal;
      append(code_->local_bytes);
    }
    places_.push_back(place);
  }
  if (!function_->is_entry) {
    for (const u32 k : function_->parameters)
      code_->parameters.push_back({0, u32(places_[k].offset), u32(function_->variables[k].bytes)});
    for (const u32 k : function_->results)
      code_->results.push_back({0, u32(places_[k].offset), u32(function_->variables[k].bytes)});
  }
  code_->local_bytes = u32(round_up(code_->local_bytes, 16));
  for (const Variable& variable : module_.source.variables)
    if (variable.space == Space::kShared && variable.bytes == 0)
      dynamic_align = std::max(dynamic_align, variable.align);
  code_->dynamic_offset = u32(round_up(code_->shared_bytes, dynamic_align));
}

void Translator::translate(const Function& function) {
  auto made = std::make_unique<Code>();
  function_ = &function;
  code_ = made.get();
  code_->name = function.name;
  code_->is_entry = function.is_entry;
  code_->max_threads = function.max_threads;
  code_->required_threads = function.required_threads;
  registers_ = function.registers;
  drafts_.clear();
  carry_ = -1;
  place_locals();

  std::vector<u32> first(function.statements.size() + 1);
  for (std::size_t k = 0; k < function.statements.size(); ++k) {
    const Statement& statement = function.statements[k];
    first[k] = u32(drafts_.size());
    try {
      Decoder decoder(*this, statement);
      const Decode decode = find_decoder(statement.words[0]);
      if (decode == nullptr) decoder.unsupported();
      decode(decoder);
    } catch (const Error& error) {
      note_error(statement, error.what());
    }
  }
  if (errors_ > 0) return;
  first.back() = u32(drafts_.size());
  for (DraftInst& draft : drafts_)
    for (u32& target : draft.targets) target = first[target];
  finish();
  if (function.is_entry) module_.kernels[function.name] = code_;
  module_.codes.push_back(std::move(made));
}

void Translator::finish() {
  DraftInst last;  // a function may end without ret
  last.inst.flow = Flow::kReturn;
  last.inst.kind = Class::kControl;
  last.inst.line = drafts_.empty() ? function_->line : drafts_.back().inst.line;
  drafts_.push_back(last);
  const Graph graph = make_graph(drafts_);
  find_meeting_points(graph, drafts_);
  code_->register_bytes = place_registers(graph, drafts_, registers_);
  for (DraftInst& draft : drafts_) {
    if (draft.inst.flow == Flow::kBranch) {
      draft.inst.target = draft.targets[0];
    } else if (draft.inst.flow == Flow::kBranchIndex) {
      draft.inst.target = u32(code_->branch_tables.size());
      code_->branch_tables.push_back(draft.targets);
    }
    draft.inst.more = u32(code_->more.size());
    code_->more.insert(code_->more.end(), draft.more.begin(), draft.more.end());
    code_->insts.push_back(draft.inst);
  }
}

void Translator::link_calls() {
  const auto find = [&](const std::string& name) -> Code* {
    for (const auto& code : module_.codes)
      if (code->name == name && !code->is_entry) return code.get();
    return nullptr;
  };
  for (const auto& code : module_.codes)
    for (Call& call : code->calls) {
      if (find_builtin(call.name) != nullptr) continue;
      Code* const callee = find(call.name);
      if (callee == nullptr) throw Error(cat("kernel ", code->name, ": function ", call.name, " has no body"));
      if (callee->parameters.size() != call.arguments.size() || callee->results.size() != call.results.size())
        throw Error(cat("kernel ", code->name, ": call of ", call.name, " with the wrong number of arguments"));
      call.callee = callee;
      for (std::size_t k = 0; k < call.arguments.size(); ++k) call.arguments[k].to = callee->parameters[k].to;
      for (std::size_t k = 0; k < call.results.size(); ++k) call.results[k].from = callee->results[k].to;
    }
  for (const auto& code : module_.codes) {
    std::vector<const Code*> path;
    code->stack_bytes = stack_of(*code, path);
    if (!functions_use_dynamic_ || !code->is_entry) continue;
    code->uses_dynamic = true;
    for (const auto& other : module_.codes)
      if (other->dynamic_offset != code->dynamic_offset && !(other->is_entry && other->calls.empty()))
        throw Error(cat("kernel ", code->name,
                        ": unsupported: a function uses dynamic shared memory, which does not "
                        "begin at the same place in all kernels"));
  }
}

u32 Translator::stack_of(Code& code, std::vector<const Code*>& path) {
  if (std::count(path.begin(), path.end(), &code) != 0) return kRecursionBytes;
  path.push_back(&code);
  u32 deepest = 0;
  for (const Call& call : code.calls) {
    if (call.callee == nullptr) continue;
    auto& callee = const_cast<Code&>(*call.callee);
    deepest = std::max(deepest, stack_of(callee, path));
    // What a function does to shared and global memory, its callers do.
    code.shared_granule = std::min(code.shared_granule, callee.shared_granule);
    code.has_cas |= callee.has_cas;
    code.uses_workspace |= callee.uses_workspace;
  }
  path.pop_back();
  return code.local_bytes + deepest;
}

}  // namespace ptx
