// SPDX-License-Identifier: MIT
#include "builtin.hpp"

#include <cstdio>
#include <cstring>

#include "machine.hpp"

namespace ptx {
namespace {

/// Bytes of a parameter of the call.
template <class T>
T argument(Warp& w, const Call& call, std::size_t number, u32 lane) {
  T value{};
  if (number < call.arguments.size())
    std::memcpy(&value, &w.local[lane * (w.local.size() / kLanes) + w.local_base + call.arguments[number].from],
                std::min<std::size_t>(sizeof value, call.arguments[number].bytes));
  return value;
}

/// Memory of one thread at a generic address; nullptr if there is none.
const u8* view(Warp& w, u32 lane, u64 address, u64 bytes) {
  const u64 stride = w.local.size() / kLanes, local = address - kLocalWindow;
  if (local < kWindowBytes) return local + bytes <= stride ? &w.local[lane * stride + local] : nullptr;
  return w.launch->memory->view(address, bytes);
}

std::string string_at(Warp& w, u32 lane, u64 address) {
  std::string text;
  for (const u8* c = view(w, lane, address, 1); c != nullptr && *c != 0 && text.size() < 4096;
       c = view(w, lane, ++address, 1))
    text += char(*c);
  return text;
}

/// One conversion of printf with the value at the place of the arguments.
std::string formatted(Warp& w, u32 lane, std::string spec, u64& arguments) {
  const char kind = spec.back();
  const bool wide = spec.find('l') != std::string::npos || spec.find('j') != std::string::npos ||
                    spec.find('z') != std::string::npos ||
                    std::string_view("fFeEgGaAsp").find(kind) != std::string_view::npos;
  const u32 bytes = wide ? 8 : 4;
  arguments = round_up(arguments, bytes);
  u64 bits = 0;
  if (const u8* p = view(w, lane, arguments, bytes)) std::memcpy(&bits, p, bytes);
  arguments += bytes;
  if (kind == 's') return string_at(w, lane, bits);
  std::erase_if(spec, [](char c) { return std::string_view("hljzt").find(c) != std::string_view::npos; });
  char text[512];
  if (std::string_view("fFeEgGaA").find(kind) != std::string_view::npos) {
    std::snprintf(text, sizeof text, spec.c_str(), std::bit_cast<f64>(bits));
  } else {
    const bool is_signed_kind = kind == 'd' || kind == 'i';
    if (kind != 'c' && kind != 'p') spec.insert(spec.size() - 1, "ll");
    if (kind == 'c')
      std::snprintf(text, sizeof text, spec.c_str(), int(bits));
    else if (kind == 'p')
      std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(bits));
    else
      std::snprintf(text, sizeof text, spec.c_str(),
                    is_signed_kind && !wide ? static_cast<long long>(s32(bits)) : static_cast<long long>(bits));
  }
  return text;
}

/// vprintf(format, arguments): the arguments lie one after the other, each at its alignment.
void print(Warp& w, const Inst&, const Call& call) {
  each_lane(w.mask, [&](u32 l) {
    const std::string format = string_at(w, l, argument<u64>(w, call, 0, l));
    u64 arguments = argument<u64>(w, call, 1, l);
    std::string out;
    for (std::size_t k = 0; k < format.size(); ++k) {
      if (format[k] != '%') {
        out += format[k];
      } else if (k + 1 < format.size() && format[k + 1] == '%') {
        out += format[k++];
      } else {
        const std::size_t end = format.find_first_of("diuoxXcsfFeEgGaAp", k);
        if (end == std::string::npos) break;
        out += formatted(w, l, format.substr(k, end - k + 1), arguments);
        k = end;
      }
    }
    std::fwrite(out.data(), 1, out.size(), stdout);
  });
  std::fflush(stdout);
}

/// __assertfail(message, file, line, function, size of a character)
void fail_assertion(Warp& w, const Inst& i, const Call& call) {
  each_lane(w.mask, [&](u32 l) {
    w.launch->fault(Fault::kAssert, w, i, l,
                    cat(string_at(w, l, argument<u64>(w, call, 1, l)), ":", argument<u32>(w, call, 2, l), ": ",
                        string_at(w, l, argument<u64>(w, call, 3, l)), ": assertion `",
                        string_at(w, l, argument<u64>(w, call, 0, l)), "` failed"));
  });
  w.launch->faults.stop = true;
}

}  // namespace

Builtin find_builtin(std::string_view name) {
  if (name == "vprintf") return print;
  if (name == "__assertfail") return fail_assertion;
  return nullptr;
}

}  // namespace ptx
