# SPDX-License-Identifier: MIT
# hstu_fuzz: libFuzzer over tests/fuzz/targets.hpp, built by clang beside whatever compiler the rest is built with.
target_compile_definitions(hstu_fuzz_tests PRIVATE HSTU_FUZZ_CORPUS="${CMAKE_CURRENT_LIST_DIR}/corpus")

find_program(fuzz_compiler NAMES clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14)
set(HSTU_FUZZ_SECONDS 10 CACHE STRING "Time for each fuzz target when the tests run")

set(fuzz_flags -std=c++20 -O1 -g1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
               -fno-omit-frame-pointer -Wall -Wextra -Wshadow -Wconversion)
if(HSTU_WERROR)
  list(APPEND fuzz_flags -Werror)
endif()
set(fuzz_folder ${PROJECT_BINARY_DIR}/fuzz)
file(MAKE_DIRECTORY ${fuzz_folder})

# clang comes without libFuzzer where libclang-rt is a package of its own.
set(fuzz_works FALSE)
if(fuzz_compiler)
  file(WRITE ${fuzz_folder}/empty.cpp
       "extern \"C\" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n")
  execute_process(COMMAND ${fuzz_compiler} ${fuzz_flags} ${fuzz_folder}/empty.cpp -o ${fuzz_folder}/empty
                  RESULT_VARIABLE fuzz_result OUTPUT_QUIET ERROR_QUIET)
  if(fuzz_result EQUAL 0)
    set(fuzz_works TRUE)
  endif()
endif()
if(NOT fuzz_works)
  message(STATUS "hstu: no clang++ with libFuzzer, so nothing is fuzzed (the kept inputs are replayed all the same)")
  return()
endif()

set(fuzz_program ${PROJECT_BINARY_DIR}/bin/hstu_fuzz)
set(fuzz_object ${fuzz_folder}/libfuzzer.o)
add_custom_command(
  OUTPUT ${fuzz_object}
  COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${fuzz_compiler} ${fuzz_flags} ${library_includes} -MD -MF ${fuzz_object}.d
          -c ${CMAKE_CURRENT_LIST_DIR}/libfuzzer.cpp -o ${fuzz_object}
  DEPENDS ${CMAKE_CURRENT_LIST_DIR}/libfuzzer.cpp
  DEPFILE ${fuzz_object}.d
  COMMENT "Building the fuzzer with ${fuzz_compiler}"
  VERBATIM)
add_custom_command(OUTPUT ${fuzz_program}
                   COMMAND ${fuzz_compiler} ${fuzz_flags} ${fuzz_object} -o ${fuzz_program}
                   DEPENDS ${fuzz_object} VERBATIM)
add_custom_target(hstu_fuzz ALL DEPENDS ${fuzz_program})

# One seed, so that a change is not blamed for what chance finds; scripts/soak.sh runs long and with other seeds.
set(fuzz_limits -seed=1 -max_len=4096 -timeout=25 -rss_limit_mb=1024 -malloc_limit_mb=16 -print_final_stats=1
                -dict=${CMAKE_CURRENT_LIST_DIR}/words.dict)
file(GLOB fuzz_corpora ${CMAKE_CURRENT_LIST_DIR}/corpus/*)
foreach(corpus IN LISTS fuzz_corpora)
  get_filename_component(target ${corpus} NAME)
  file(MAKE_DIRECTORY ${fuzz_folder}/${target})
  add_test(NAME fuzz.${target}
           COMMAND ${fuzz_program} --target=${target} ${fuzz_limits} -max_total_time=${HSTU_FUZZ_SECONDS}
                   -artifact_prefix=${fuzz_folder}/${target}- ${fuzz_folder}/${target} ${corpus})
  set_tests_properties(fuzz.${target} PROPERTIES TIMEOUT 300 LABELS fuzz)
endforeach()
add_test(NAME fuzz.planted COMMAND ${fuzz_program} --target=planted ${fuzz_limits} -max_total_time=120
                                   -artifact_prefix=${fuzz_folder}/planted-)
set_tests_properties(fuzz.planted PROPERTIES TIMEOUT 300 LABELS fuzz
                     PASS_REGULAR_EXPRESSION "AddressSanitizer: heap-buffer-overflow")
