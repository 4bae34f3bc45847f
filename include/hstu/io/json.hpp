// SPDX-License-Identifier: MIT
// JSON values from text that may be hostile, and typed access to them.
#pragma once
#include <concepts>
#include <limits>
#include <utility>
#include <vector>

#include <hstu/io/json_events.hpp>
#include <hstu/io/json_tree.hpp>

namespace hstu {

inline constexpr std::size_t kMaxJsonDepth = 64;

namespace detail {

/// Builds a value; unlike nlohmann's own builder it refuses a repeated key and bounds the depth.
class JsonBuilder final : public JsonEvents {
 public:
  JsonTree result;

  bool null() override { return place(nullptr); }
  bool boolean(bool value) override { return place(value); }
  bool number_integer(std::int64_t value) override { return place(value); }
  bool number_unsigned(std::uint64_t value) override { return place(value); }
  bool number_float(double value, const std::string&) override { return place(value); }
  bool string(std::string& value) override { return place(std::move(value)); }
  bool start_object(std::size_t) override { return open(nlohmann::json::object()); }
  bool start_array(std::size_t) override { return open(nlohmann::json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    const auto [entry, is_new] = open_.back()->get_ref<nlohmann::json::object_t&>().try_emplace(std::move(name));
    check<DataError>(is_new, "repeated key ", in_quotes(entry->first));
    slot_ = &entry->second;
    return true;
  }

 private:
  nlohmann::json* put(nlohmann::json value) {
    if (open_.empty()) return &(*result = std::move(value));
    if (open_.back()->is_object()) return &(*slot_ = std::move(value));
    auto& elements = open_.back()->get_ref<nlohmann::json::array_t&>();
    elements.push_back(std::move(value));
    return &elements.back();
  }
  bool place(nlohmann::json value) {
    put(std::move(value));
    return true;
  }
  bool open(nlohmann::json container) {
    check<DataError>(open_.size() < kMaxJsonDepth, "more than ", kMaxJsonDepth, " nested brackets");
    open_.push_back(put(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  std::vector<nlohmann::json*> open_;  // an element does not move while it is open: only the last one grows
  nlohmann::json* slot_ = nullptr;
};

/// A value for a message: its text if short, its kind if it is a container.
inline std::string shown(const nlohmann::json& value) {
  if (value.is_object() || value.is_array()) return concat("an ", value.type_name(), " of ", value.size());
  if (value.is_string()) return "the string " + in_quotes(value.get_ref<const std::string&>());
  return value.dump();
}

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

}  // namespace detail

/// One JSON value.  Refused: repeated keys, more than 64 nested brackets, bytes that are not UTF-8, numbers beyond
/// double, anything after the value.  Throws `Kind` "origin:line:column: reason".
template <class Kind = DataError>
JsonTree parse_json(std::string_view text, std::string_view origin, std::size_t first_line = 1) {
  detail::JsonBuilder builder;
  read_json<Kind>(text, origin, builder, first_line);
  return std::move(builder.result);
}

/// The elements of an array.  Throws `Kind` "where: expected an array, got ...".
template <class Kind = DataError>
const nlohmann::json::array_t& json_elements(const nlohmann::json& value, std::string_view where) {
  check<Kind>(value.is_array(), where, ": expected an array, got ", detail::shown(value));
  return value.get_ref<const nlohmann::json::array_t&>();
}

/// `value` as bool, integer (in range, no fraction), floating point (any number), string, or vector of these.
/// Throws `Kind` "where: expected ..., got ...".
template <class T, class Kind = DataError>
T json_to(const nlohmann::json& value, std::string_view where) {
  const auto expect = [&](bool holds, const auto&... expected) {
    if (!holds) throw Kind(concat(where, ": expected ", expected..., ", got ", detail::shown(value)));
  };
  if constexpr (std::same_as<T, bool>) {
    expect(value.is_boolean(), "true or false");
    return value.get<bool>();
  } else if constexpr (std::same_as<T, std::string>) {
    expect(value.is_string(), "a string");
    return value.get<std::string>();
  } else if constexpr (std::integral<T>) {
    using Limits = std::numeric_limits<T>;
    const bool fits = value.is_number_unsigned()  ? std::in_range<T>(value.get<std::uint64_t>())
                      : value.is_number_integer() ? std::in_range<T>(value.get<std::int64_t>())
                                                  : false;
    expect(fits, "an integer from ", +Limits::min(), " to ", +Limits::max());
    return value.get<T>();
  } else if constexpr (std::floating_point<T>) {
    expect(value.is_number(), "a number");
    return static_cast<T>(value.get<double>());
  } else {
    static_assert(detail::IsVector<T>::value, "bool, integer, floating point, string, or vector of these");
    T result;
    for (const nlohmann::json& element : json_elements<Kind>(value, where)) {
      result.push_back(json_to<typename T::value_type, Kind>(element, concat(where, "[", result.size(), "]")));
    }
    return result;
  }
}

/// The value under `key` of `object`, which must be there.  Throws `Kind` naming origin, key, expected and found.
template <class Kind = DataError>
const nlohmann::json& required_value(const nlohmann::json& object, const std::string& key, std::string_view origin) {
  check<Kind>(object.is_object(), origin, ": expected an object with the key ", detail::in_quotes(key), ", got ",
              detail::shown(object));
  const auto entry = object.find(key);
  check<Kind>(entry != object.end(), origin, ": expected the key ", detail::in_quotes(key), ", found none");
  return *entry;
}

/// The same as a `T`; see json_to().
template <class T, class Kind = DataError>
T required(const nlohmann::json& object, const std::string& key, std::string_view origin) {
  return json_to<T, Kind>(required_value<Kind>(object, key, origin), concat(origin, ": ", key));
}

}  // namespace hstu
