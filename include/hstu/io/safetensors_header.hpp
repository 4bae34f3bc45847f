// SPDX-License-Identifier: MIT
// The JSON header of a safetensors file, read event by event: memory is used only for entries that are valid.
#pragma once
#include <map>
#include <optional>
#include <string>

#include <hstu/core/dtype.hpp>
#include <hstu/core/shape.hpp>
#include <hstu/io/json_events.hpp>

namespace hstu::detail {

inline constexpr std::string_view kMetadataKey = "__metadata__";

/// F32, F64, I32, I64 in the words of the format.
constexpr std::string_view safetensors_name(DType dtype) {
  switch (dtype) {
    case DType::float32: return "F32";
    case DType::float64: return "F64";
    case DType::int32: return "I32";
    case DType::int64: return "I64";
  }
  return "unknown";
}

struct TensorEntry {
  DType dtype;
  Shape shape;
  std::uint64_t begin, end;  ///< bytes, counted from the end of the header
};

/// {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, .., "__metadata__": {"key": "text", ..}}
/// Throws DataError on every other form, on repeated names, and where shape and offsets disagree.
class SafetensorsHeader final : public JsonEvents {
 public:
  std::map<std::string, TensorEntry> tensors;
  std::map<std::string, std::string> metadata;

  bool null() override { refuse("null"); }
  bool boolean(bool value) override { refuse(value ? "true" : "false"); }
  bool number_integer(std::int64_t value) override { refuse(concat(value)); }
  bool number_float(double, const std::string& text) override { refuse(text); }
  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::shape && sizes_.size() < Shape::kMaxRank && std::in_range<std::int64_t>(value)) {
      sizes_.push_back(static_cast<std::int64_t>(value));
    } else if (place_ == Place::offsets && offsets_.size() < 2) {
      offsets_.push_back(value);
    } else {
      refuse(concat(value));
    }
    return true;
  }
  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      const bool is_new = metadata.try_emplace(key_, std::move(value)).second;
      check<DataError>(is_new, kMetadataKey, ": repeated key ", in_quotes(key_));
    } else if (place_ == Place::tensor && key_ == "dtype") {
      dtype_ = to_dtype(value);
    } else {
      refuse(in_quotes(value));
    }
    return true;
  }
  bool key(std::string& name) override {
    if (place_ == Place::header) {
      name_ = std::move(name);
    } else if (place_ == Place::tensor) {
      check<DataError>(name == "dtype" || name == "shape" || name == "data_offsets", where(), ": unknown key ",
                       in_quotes(name));
      const bool is_new = name == "dtype" ? !dtype_ : name == "shape" ? !has_shape_ : offsets_.empty();
      check<DataError>(is_new, where(), ": repeated key ", in_quotes(name));
      key_ = std::move(name);
    } else {
      key_ = std::move(name);
    }
    return true;
  }
  bool start_object(std::size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::header;
    } else if (place_ == Place::header && name_ == kMetadataKey) {
      check<DataError>(!has_metadata_, "repeated key ", in_quotes(name_));
      has_metadata_ = true;
      place_ = Place::metadata;
    } else if (place_ == Place::header) {
      check<DataError>(!tensors.contains(name_), "repeated key ", in_quotes(name_));
      dtype_.reset();
      has_shape_ = false;
      sizes_.clear();
      offsets_.clear();
      place_ = Place::tensor;
    } else {
      refuse("an object");
    }
    return true;
  }
  bool end_object() override {
    if (place_ == Place::tensor) add_tensor();
    place_ = place_ == Place::header ? Place::outside : Place::header;
    return true;
  }
  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && key_ == "shape") {
      place_ = Place::shape;
      has_shape_ = true;
    } else if (place_ == Place::tensor && key_ == "data_offsets") {
      place_ = Place::offsets;
    } else {
      refuse("an array");
    }
    return true;
  }
  bool end_array() override {
    check<DataError>(place_ != Place::offsets || offsets_.size() == 2, where(), ": expected [begin, end], got ",
                     offsets_.size(), " numbers");
    place_ = Place::tensor;
    return true;
  }

 private:
  enum class Place { outside, header, metadata, tensor, shape, offsets };

  std::string where() const {
    if (place_ == Place::outside) return "header";
    const std::string name = name_ == kMetadataKey ? name_ : "tensor " + in_quotes(name_);
    if (place_ == Place::header) return name;
    if (place_ == Place::shape) return name + ": shape";
    if (place_ == Place::offsets) return name + ": data_offsets";
    return name + ": " + in_quotes(key_);
  }
  std::string expected() const {
    switch (place_) {
      case Place::outside:
      case Place::header: return "an object";
      case Place::metadata: return "a string";
      case Place::shape: return concat("at most ", Shape::kMaxRank, " sizes from 0 to 2^63-1");
      case Place::offsets: return "two numbers from 0 to 2^64-1";
      case Place::tensor: break;
    }
    return key_ == "dtype" ? "'F32', 'F64', 'I32' or 'I64'" : "an array";
  }
  [[noreturn]] void refuse(const std::string& found) const {
    throw DataError(concat(where(), ": expected ", expected(), ", got ", found));
  }

  DType to_dtype(std::string_view text) const {
    for (const DType dtype : {DType::float32, DType::float64, DType::int32, DType::int64}) {
      if (text == safetensors_name(dtype)) return dtype;
    }
    refuse(in_quotes(text));
  }

  void add_tensor() {
    const std::string name = "tensor " + in_quotes(name_);
    check<DataError>(dtype_.has_value(), name, ": expected the key 'dtype', found none");
    check<DataError>(has_shape_, name, ": expected the key 'shape', found none");
    check<DataError>(offsets_.size() == 2, name, ": expected the key 'data_offsets', found none");
    check<DataError>(offsets_[0] <= offsets_[1], name, ": data_offsets go backwards, from ", offsets_[0], " to ",
                     offsets_[1]);
    // Sizes of 0 are left out of this product: [2^62, 2^62, 0] has no bytes, but its strides overflow.
    try {
      std::int64_t bytes = size_of(*dtype_);
      for (const std::int64_t size : sizes_) bytes = checked_mul(bytes, std::max<std::int64_t>(size, 1));
    } catch (const ShapeError& error) {
      throw DataError(concat(name, ": ", error.what()));
    }
    const Shape shape{std::span<const std::int64_t>(sizes_)};
    const auto bytes = static_cast<std::uint64_t>(shape.numel() * size_of(*dtype_));
    check<DataError>(offsets_[1] - offsets_[0] == bytes, name, ": expected ", bytes, " bytes for ",
                     safetensors_name(*dtype_), shape, ", got ", offsets_[1] - offsets_[0]);
    tensors.emplace(name_, TensorEntry{*dtype_, shape, offsets_[0], offsets_[1]});
  }

  Place place_ = Place::outside;
  std::string name_, key_;
  std::optional<DType> dtype_;
  bool has_metadata_ = false, has_shape_ = false;
  std::vector<std::int64_t> sizes_;
  std::vector<std::uint64_t> offsets_;
};

}  // namespace hstu::detail
