// SPDX-License-Identifier: MIT
// Features from files and from columns.
#include <hstu/data/features.hpp>

#include "../check_op.hpp"
#include "temp_file.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

const std::vector<std::string> kNames = {"u2", "u1", "u9"};
const std::vector<FeatureSpec> kSpecs = {{"job", FeatureKind::category}, {"age", FeatureKind::number}};
constexpr const char* kUsers =
    "user_id:token\tage:float\tjob:token\n"
    "u1\t30\tcook\nstranger\t99\tking\nu2\t20\tbaker\nu9\t\tcook\n";

FeatureTable read_table(const char* name, const std::string& text, const std::vector<FeatureSpec>& specs = kSpecs) {
  const TempFile file(name, text);
  return read_features(file.path(), {"user_id"}, kNames, 1, specs);
}

}  // namespace

TEST_CASE("features: rows by name, what is not known is zero", "[data][features][property]") {
  for (const bool is_csv : {false, true}) {
    std::string text = kUsers;
    if (is_csv) {
      text.replace(0, text.find('\n'), "user_id,age,job");
      std::ranges::replace(text, '\t', ',');
    }
    const FeatureTable table = read_table(is_csv ? "users.csv" : "x.user", text);
    REQUIRE(table.size() == 2);
    CHECK(table[0].categories == std::vector<std::int32_t>{0, 2, 1, 1});  // row 0 is padding; cook came first
    CHECK(table[0].num_categories == 3);
    CHECK(table[1].numbers == std::vector<float>{0, -1, 1, 0});
  }
}

TEST_CASE("make_feature: distinct numbers as categories, or standardised", "[data][features][property]") {
  const std::vector<float> values = {5, 1, 3, 5};
  const FeatureColumn category = make_feature({"rating", FeatureKind::category}, values);
  CHECK(category.categories == std::vector<std::int32_t>{3, 1, 2, 3});
  CHECK(category.num_categories == 4);
  const FeatureColumn number = make_feature({"rating", FeatureKind::number}, values);
  CHECK(std::abs(number.numbers[0] - 1.5f / std::sqrt(2.75f)) < 1e-6f);
  CHECK(make_feature({"c", FeatureKind::number}, std::vector<float>{2, 2}).numbers == std::vector<float>{0, 0});
}

TEST_CASE("features: errors have their place", "[data][features][errors]") {
  CHECK_THROWS_MATCHES(read_table("x.user", kUsers, {{"height", FeatureKind::number}}), DataError,
                       says("x.user:1:1: expected a header with the feature «height»"));
  CHECK_THROWS_MATCHES(read_table("x.user", kUsers, {{"job", FeatureKind::number}}), DataError,
                       says("x.user:2:7: expected a finite number, got «cook»"));
  CHECK_THROWS_MATCHES(read_table("x.user", std::string(kUsers) + "u1\t3\tcook\n"), DataError,
                       says("x.user:6:1: expected distinct ids, got «u1»"));
  CHECK_THROWS_MATCHES(read_table("x.user", std::string(kUsers) + "u1\t3\n"), DataError, says("expected 3 columns"));
  CHECK_THROWS_MATCHES(read_table("x.user", "name:token\tjob:token\n"), DataError,
                       says("expected a header with the column user_id"));
  CHECK_THROWS_MATCHES(read_table("x.user", ""), DataError, says("expected a header, got an empty file"));
}
