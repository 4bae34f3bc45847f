// SPDX-License-Identifier: MIT
// Under a locale that writes 1.234,5 everything is read and written as under the C locale.
#include <clocale>
#include <locale>

#include <hstu/data/read_ratings.hpp>

#include "../io/files.hpp"
#include "small_training.hpp"

using namespace hstu;
using namespace hstu::test;

namespace {

class CommaPunctuation : public std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

/// The locale for one scope: that of C++, and that of C where the system has a German one.
class CommaLocale {
 public:
  CommaLocale() : before_(std::locale::global(std::locale(std::locale::classic(), new CommaPunctuation))) {
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "de_DE"}) {
      if (std::setlocale(LC_ALL, name) != nullptr) break;
    }
  }
  ~CommaLocale() {
    std::locale::global(before_);
    std::setlocale(LC_ALL, "C");
  }
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;

 private:
  std::locale before_;
};

}  // namespace

TEST_CASE("locale: numbers keep their point, in and out", "[train][locale][property]") {
  const TempFolder folder;
  const auto data = small_data();
  const std::string expected_config = to_json(small_config("rechub-0.9")).dump();
  Config config = small_config("meta-ml-1m");
  config.train.epochs = 1;
  fit(folder.path("plain"), config, data);

  const CommaLocale locale;
  std::ostringstream probe;
  probe << 1234.5;
  REQUIRE(probe.str() == "1.234,5");  // the locale is really there
  CHECK(concat(1234567, " ", 0.5) == "1234567 0.5");
  CHECK(to_json(small_config("rechub-0.9")).dump() == expected_config);
  const std::string ratings =
      folder.write("r.csv", "userId,movieId,rating,timestamp\nu,i,3.5,978300760\nu,j,1e-1,1.0e3\n");
  CHECK(read_ratings(ratings).rating == std::vector<float>{3.5F, 0.1F});
  CHECK_THROWS_AS(read_ratings(folder.write("c.dat", "u::i::3,5::978300760\n")), DataError);
  CHECK(parse_json("[1234.5, 1e-3, 0.1]", "f")->dump() == "[1234.5,0.001,0.1]");
  fit(folder.path("comma"), config, data);
  for (const char* name : {"config.json", "data/data.json", "data/sequences.safetensors"}) {
    INFO(name);
    CHECK(bytes_in(folder.path("comma") + "/" + name) == bytes_in(folder.path("plain") + "/" + name));
  }
  CHECK(detail::weights_checksum(load_run(folder.path("comma")).model) ==
        detail::weights_checksum(load_run(folder.path("plain")).model));
}
