// SPDX-License-Identifier: MIT
// A JSON value that can always be destroyed.
#pragma once
#include <nlohmann/json.hpp>
#include <utility>

namespace hstu {

/// Owns a JSON value and takes it apart without asking for memory.  nlohmann's destructor asks for some at every array or
/// object that is not empty; where it gets none, the process ends.  *tree is the value; a copy of *tree is nlohmann's.
class JsonTree {
 public:
  JsonTree() = default;
  explicit JsonTree(nlohmann::json value) noexcept : value_(std::move(value)) {}
  JsonTree(const JsonTree&) = default;
  JsonTree(JsonTree&&) noexcept = default;
  JsonTree& operator=(JsonTree other) noexcept {
    value_.swap(other.value_);
    return *this;
  }
  ~JsonTree() { take_apart(value_); }

  nlohmann::json& operator*() noexcept { return value_; }
  const nlohmann::json& operator*() const noexcept { return value_; }
  nlohmann::json* operator->() noexcept { return &value_; }
  const nlohmann::json* operator->() const noexcept { return &value_; }

 private:
  static void take_apart(nlohmann::json& value) noexcept {
    if (auto* elements = value.get_ptr<nlohmann::json::array_t*>()) {
      for (nlohmann::json& element : *elements) take_apart(element);
      elements->clear();
    } else if (auto* entries = value.get_ptr<nlohmann::json::object_t*>()) {
      for (auto& [key, entry] : *entries) take_apart(entry);
      entries->clear();
    }
  }

  nlohmann::json value_;
};

}  // namespace hstu
