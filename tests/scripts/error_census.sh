#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every public function that throws typed errors is called by an error test; one that no test calls is noticed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$root/scripts/error_census.py" || { echo "error_census.sh: functions without an error test"; exit 1; }

mkdir -p "$work/include/planted" "$work/tests"
cat >"$work/include/planted/planted.hpp" <<'EOF'
namespace hstu {
namespace detail {
inline void helper(int x) { check<DataError>(x > 0, "planted: {"); }
}  // namespace detail
class Box {
 public:
  explicit Box(int x) : x_{x} { detail::helper(x); }
  int quiet() const { return x_; }
  int untested() const { throw ShapeError("planted"); }

 private:
  int x_;
};
inline void tested(int x) { detail::helper(x); }
}  // namespace hstu
EOF
cat >"$work/tests/planted.cpp" <<'EOF'
TEST_CASE("works", "[planted][property]") { Box(1).untested(); }
TEST_CASE("fails", "[planted][errors]") { CHECK_THROWS_AS(Box(0), DataError); }
TEST_CASE("also", "[planted][property]") { CHECK_THROWS_AS(tested(0), DataError); }
EOF
status=0
found=$("$root/scripts/error_census.py" --include "$work/include" --tests "$work/tests") || status=$?
expected='planted/planted.hpp:9: Box::untested
figure: 3 public functions that throw typed errors, 1 of them in no error test'
[[ $status == 1 && $found == "$expected" ]] || { echo "error_census.sh: expected «$expected», got «$found»"; exit 1; }
